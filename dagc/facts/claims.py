"""The `claims` and `require` blocks become claims about one strategy, and requirements.

Each entry is `metric [comparison] figure [margin ratio]`; without a comparison the figure is claimed exactly, at the
digits written. A metric may be claimed more than once, in other units or over another count, and the claims are then
checked against each other too. The strategy's name is the head of the block; a block without one speaks of `main`.

An entry of `require` is `metric [percentile] comparison figure`; all of them must hold. A name may occur more than once
(a floor and a ceiling, a rate for input and one for output tokens), but some figure has to meet them all. `latency` is
the latency of a token, so another name of `tpot`.

A written quantity becomes a `Figure` in SI units that knows how many significant digits were written, so that no figure
is judged more finely than it was stated. Nothing is judged here: that needs the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.diag.fixing import asked, insert, meant, remove, spelling
from dagc.metrics import CLAIMABLE, MARGIN, OF_PERCENTILE, PERCENTILES, REQUIRABLE, Metric
from dagc.plan.workload import Claim, Figure, Per, Requirement
from dagc.source import Span
from dagc.syntax.tree import Block, Entry, Quantity, Value, Word
from dagc.units import Dimension, Unit, candidates, lookup, significant_digits

CLAIMS_HEAD = Code("N135", "claims-head")

MAIN = "main"
"""The name of a strategy that has none."""


def declare_claims(block: Block) -> tuple[str, Span, tuple[Claim, ...], tuple[Diagnostic, ...]]:
    """Strategy's name, its span, its claims in written order, and N131, N133-N135 for what states none."""
    name, place, problems = _head(block)
    read = [_claim(entry) for entry in block.body or ()]
    claims = tuple(c for c in read if isinstance(c, Claim))
    return name, place, claims, (*problems, *(c for c in read if isinstance(c, Diagnostic)))


def _head(block: Block) -> tuple[str, Span, tuple[Diagnostic, ...]]:
    if not block.head:
        return MAIN, block.span, ()
    first, *rest = block.head
    name = first.text if isinstance(first, Word) else MAIN
    wrong = rest[0] if rest and isinstance(first, Word) else first
    if wrong is first and isinstance(first, Word):
        return name, first.span, ()
    problem = CLAIMS_HEAD.at(
        wrong.span,
        "a `claims` block refers to one strategy",
        "not part of its name",
        help=("write `claims NAME { … }`, once for each strategy",),
        fixes=remove(wrong.span.to(block.head[-1].span)) if wrong is not first else (),
    )
    return name, first.span, (problem,)


def _claim(entry: Entry) -> Claim | Diagnostic | None:
    metric = metric_of(entry, CLAIMABLE, "claims")
    if isinstance(metric, Diagnostic):
        return metric
    if entry.percentile is not None:
        return _no_percentile(entry.percentile, "a claim has no percentile", f"leave `{entry.percentile.text}` out")
    claimed, margin = _split(entry.values)
    figure = read_figure(metric, claimed, entry.name_span)
    if not isinstance(figure, Figure):
        return figure
    ratio = read_figure(MARGIN, margin[1:], margin[0].span) if margin else None
    if isinstance(ratio, Diagnostic):
        return ratio
    return Claim(entry.name, entry.comparison or "=", figure, ratio, entry.name_span.to((ratio or figure).span))


def _split(values: tuple[Value, ...]) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Values before the word `margin`, and from it on."""
    for i, value in enumerate(values):
        if isinstance(value, Word) and value.text == MARGIN.name:
            return values[:i], values[i:]
    return values, ()


COMPARISON_MISSING = Code("N132", "comparison-missing")
CONTRADICTION = Code("N137", "requirements-contradict")
PERCENTILE = Code("N138", "no-such-percentile")

_LOWER = frozenset({">", ">=", "="})
_UPPER = frozenset({"<", "<=", "="})


def declare_requirements(block: Block | None) -> tuple[tuple[Requirement, ...], tuple[Diagnostic, ...]]:
    """Requirements in written order, N131-N134 for entries that state none, N137 for two that no plan meets."""
    entries = block.body or () if block else ()
    read = [_requirement(entry) for entry in entries]
    found = tuple(r for r in read if isinstance(r, Requirement))
    wrong = tuple(r for r in read if isinstance(r, Diagnostic))
    return found, (*wrong, *_contradictions(found))


def _requirement(entry: Entry) -> Requirement | Diagnostic | None:
    metric = metric_of(entry, REQUIRABLE, "require")
    if isinstance(metric, Diagnostic):
        return metric
    percentile = _percentile(entry, metric)
    if isinstance(percentile, Diagnostic):
        return percentile
    figure = read_figure(metric, entry.values, entry.name_span)
    if not isinstance(figure, Figure):
        return figure
    last = entry.percentile.span if entry.percentile else entry.name_span
    title = entry.name_span.to(last).text
    if entry.comparison is None:
        usual = "<=" if metric.better == "less" else ">="
        return COMPARISON_MISSING.at(
            entry.span,
            f"the requirement on `{title}` has no comparison: {figure.text} could be a lower or an upper bound",
            "no comparison",
            help=(f"write `{title} {usual} {figure.text}`",),
            fixes=insert(entry.span.source, last.end, f" {usual}"),
        )
    return Requirement(entry.name, entry.comparison, figure, entry.span, percentile)


def _percentile(entry: Entry, metric: Metric) -> int | Diagnostic | None:
    """The percentile that an entry states, or N138 where there is none such."""
    if entry.percentile is None:
        return None
    percentile = next((one for one in PERCENTILES if entry.percentile.text.lower() == f"p{one}"), None)
    known = " ".join(f"p{one}" for one in PERCENTILES)
    if (metric.alias_of or metric, PERCENTILES[0]) not in OF_PERCENTILE:
        times = ", ".join(dict.fromkeys(f"`{one.name}`" for one, _ in OF_PERCENTILE))
        message = f"`{metric.name}` is one figure of a deployment, and has no percentiles"
        return _no_percentile(entry.percentile, message, f"leave it out, or limit one of {times}")
    if percentile is None:
        message = f"`{entry.percentile.text}` is not one of the percentiles {known}"
        return _no_percentile(entry.percentile, message, f"write one of {known}")
    return percentile


def _no_percentile(word: Word, message: str, help: str) -> Diagnostic:
    return PERCENTILE.at(word.span, message, "no such percentile", help=(help,))


def _contradictions(requirements: tuple[Requirement, ...]) -> Iterator[Diagnostic]:
    """N137 for each requirement that no figure meets together with one before it; the first such pair of each."""
    for i, later in enumerate(requirements):
        same = (requirement for requirement in requirements[:i] if requirement.subject == later.subject)
        first = next((one for one in same if _exclude(one, later) or _exclude(later, one)), None)
        if first is not None:
            yield CONTRADICTION.at(
                later.span,
                f"`{later.span.text}` and `{first.span.text}` cannot both hold",
                "no figure meets both",
                labels=(Label(first.span, "the other one"),),
                help=("reverse one of the comparisons, or remove one requirement",),
            )


def _exclude(low: Requirement, high: Requirement) -> bool:
    """Whether the first asks for more than the second allows."""
    if low.comparison not in _LOWER or high.comparison not in _UPPER:
        return False
    if low.figure.value == high.figure.value:
        return "<" in (low.comparison, high.comparison) or ">" in (low.comparison, high.comparison)
    return low.figure.value > high.figure.value


UNKNOWN_METRIC = Code("N131", "unknown-metric")
FIGURE_UNIT = Code("N133", "figure-unit")
FIGURE_MISSING = Code("N134", "figure-missing")

_BARE = frozenset({Dimension.COUNT, Dimension.RATIO})
"""Dimensions whose figures may have no unit."""

_EXAMPLES = {
    Dimension.BYTES: "64 GB",
    Dimension.FLOP_RATE: "15.36 PFLOP/s",
    Dimension.SECONDS: "35 ms",
    Dimension.TOKEN_RATE: "20000 output tokens/s",
    Dimension.REQUEST_RATE: "18 requests/s",
    Dimension.SHARE: "20 %",
    Dimension.RATIO: "1.43 x",
    Dimension.COUNT: "64",
}


def metric_of(entry: Entry, vocabulary: Mapping[str, Metric], block: str) -> Metric | Diagnostic:
    """The metric that an entry names, or N131 with the nearest name."""
    if entry.name in vocabulary:
        return vocabulary[entry.name]
    near = meant(entry.name, vocabulary)
    known = f"fields of a `{block}` block: {', '.join(vocabulary)}"
    return UNKNOWN_METRIC.at(
        entry.name_span,
        f"`{entry.name}` is not a figure of a `{block}` block",
        "unknown name",
        notes=(known,),
        help=asked(near),
        fixes=spelling(entry.name_span, near, vocabulary),
    )


def read_figure(metric: Metric, values: tuple[Value, ...], place: Span) -> Figure | Diagnostic | None:
    """The one figure among the values of an entry, in SI units; `place` is underlined when there is none.

    None when its unit is no unit at all: the parser has reported that.
    """
    if not values:
        return _missing(metric, place, "no figure after it")
    first = values[0]
    if isinstance(first, Word):
        return _missing(metric, first.span, "not a number")
    if len(values) > 1:
        return _missing(metric, values[1].span, "one figure too many")
    if first.value < 0:
        return _missing(metric, first.span, "negative")
    if first.unit is not None and not candidates(first.unit):
        return None
    return _figure(metric, first)


def _figure(metric: Metric, quantity: Quantity) -> Figure | Diagnostic:
    unit = _unit(metric, quantity)
    if isinstance(unit, Diagnostic):
        return unit
    return Figure(
        value=quantity.value * unit.scale,
        unit=unit.dimension,
        text=" ".join(quantity.span.text.split()),
        span=quantity.span,
        per=Per.GPU if unit.per_gpu or metric.per_gpu else Per.DEPLOYMENT,
        kind=unit.kind,
        significant=significant_digits(quantity.span.text),
    )


def _unit(metric: Metric, quantity: Quantity) -> Unit | Diagnostic:
    if quantity.unit is None:
        bare = next((d for d in metric.dimensions if d in _BARE), None)
        return Unit("", bare, 1.0) if bare else _wrong_unit(metric, quantity, "a number without a unit")
    found = (lookup(quantity.unit, dimension) for dimension in metric.dimensions)
    unit = next((u for u in found if u), None)
    if unit is None:
        measured = candidates(quantity.unit)[0].dimension
        return _wrong_unit(metric, quantity, f"`{quantity.unit}` measures {measured}")
    if unit.per_gpu and not metric.per_gpu and unit.dimension is not Dimension.TOKEN_RATE:
        return _wrong_unit(metric, quantity, f"`{metric.name}` is counted over the deployment, not per GPU")
    return unit


def _wrong_unit(metric: Metric, quantity: Quantity, problem: str) -> Diagnostic:
    wanted = " or ".join(metric.dimensions)
    example = " or ".join(f"`{metric.name} {_EXAMPLES[d]}`" for d in metric.dimensions)
    return FIGURE_UNIT.at(
        quantity.unit_span or quantity.span,
        f"`{metric.name}` is stated in {wanted}; {problem}",
        f"not {wanted}",
        help=(f"write it as {example}",),
    )


def _missing(metric: Metric, place: Span, label: str) -> Diagnostic:
    example = _EXAMPLES[metric.dimensions[0]]
    return FIGURE_MISSING.at(
        place, f"`{metric.name}` takes one figure", label, help=(f"write it as `{metric.name} {example}`",)
    )
