"""The `require` block becomes requirements.

Each entry is `metric comparison figure`; all of them must hold. A name may stand more than once (a floor and a
ceiling, a rate for input and one for output tokens), but some figure has to meet them all. `latency` is the latency of
a token, so another name of `tpot`.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.declare.figures import metric_of, read_figure
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.diag.fixing import insert
from dagc.metrics import REQUIRABLE
from dagc.plan.workload import Figure, Requirement
from dagc.syntax.tree import Block, Entry

COMPARISON_MISSING = Code("N132", "comparison-missing")
CONTRADICTION = Code("N137", "requirements-contradict")

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
    figure = read_figure(metric, entry.values, entry.name_span)
    if not isinstance(figure, Figure):
        return figure
    if entry.comparison is None:
        usual = "<=" if metric.better == "less" else ">="
        return COMPARISON_MISSING.at(
            entry.span,
            f"the requirement on `{entry.name}` has no comparison: {figure.text} could be a lower or an upper bound",
            "no comparison",
            help=(f"write `{entry.name} {usual} {figure.text}`",),
            fixes=insert(entry.span.source, entry.name_span.end, f" {usual}"),
        )
    return Requirement(entry.name, entry.comparison, figure, entry.span)


def _contradictions(requirements: tuple[Requirement, ...]) -> Iterator[Diagnostic]:
    """N137 for each requirement that no figure meets together with one before it; the first such pair of each."""
    for i, later in enumerate(requirements):
        same = (one for one in requirements[:i] if one.subject == later.subject)
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
