"""Numbers with units, as requirements and claims state them, become figures.

Turns a written quantity into a `Figure` in SI units that knows how many significant digits were written, so that no
figure is judged more finely than it was stated. It does not judge a figure: that needs the plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant, spelling
from dagc.metrics import Metric
from dagc.plan.digits import significant_digits
from dagc.plan.workload import Figure, Per
from dagc.source import Span
from dagc.syntax.tree import Entry, Quantity, Value, Word
from dagc.units import Dimension, Unit, candidates, lookup

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
