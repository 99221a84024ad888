"""The `require` block becomes requirements.

Each entry is `metric comparison figure`; all of them must hold. A name may stand more than once (a floor and a
ceiling, a rate for input and one for output tokens). `latency` is the latency of a token, so another name of `tpot`.
"""

from __future__ import annotations

from dagc.declare.figures import REQUIRABLE, metric_of, read_figure
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import insert
from dagc.plan.workload import Figure, Requirement
from dagc.syntax.tree import Block, Entry
from dagc.units import Dimension

COMPARISON_MISSING = Code("N132", "comparison-missing")

_CEILING = frozenset({Dimension.SECONDS, Dimension.BYTES, Dimension.SHARE, Dimension.COUNT})
"""Dimensions of which less is better: the comparison to offer is `<=`."""


def declare_requirements(block: Block | None) -> tuple[tuple[Requirement, ...], tuple[Diagnostic, ...]]:
    """Requirements in written order, and N131-N134 for entries that state none; no block means no requirement."""
    entries = block.body or () if block else ()
    read = [_requirement(entry) for entry in entries]
    found = tuple(r for r in read if isinstance(r, Requirement))
    return found, tuple(r for r in read if isinstance(r, Diagnostic))


def _requirement(entry: Entry) -> Requirement | Diagnostic | None:
    metric = metric_of(entry, REQUIRABLE, "require")
    if isinstance(metric, Diagnostic):
        return metric
    figure = read_figure(metric, entry.values, entry.name_span)
    if not isinstance(figure, Figure):
        return figure
    if entry.comparison is None:
        usual = "<=" if metric.dimensions[0] in _CEILING else ">="
        return COMPARISON_MISSING.at(
            entry.span,
            f"the requirement on `{entry.name}` does not say whether {figure.text} is a floor or a ceiling",
            "no comparison",
            help=(f"write `{entry.name} {usual} {figure.text}`",),
            fixes=insert(entry.span.source, entry.name_span.end, f" {usual}"),
        )
    return Requirement(entry.name, entry.comparison, figure, entry.span)
