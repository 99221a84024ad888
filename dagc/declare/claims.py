"""A `claims` block becomes the claims about one strategy.

Each entry is `metric [comparison] figure [margin ratio]`; without a comparison the figure is claimed exactly, at the
digits written. A metric may be claimed more than once, in other units or over another count, and the claims are then
checked against each other too. The strategy's name is the head of the block; a block without one speaks of `main`.
"""

from __future__ import annotations

from dagc.declare.figures import CLAIMABLE, MARGIN, metric_of, read_figure
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import remove
from dagc.plan.workload import Claim, Figure
from dagc.source import Span
from dagc.syntax.tree import Block, Entry, Value, Word

CLAIMS_HEAD = Code("N135", "claims-head")

MAIN = "main"
"""The name of a strategy that has none."""


def declare_claims(block: Block) -> tuple[str, Span, tuple[Claim, ...], tuple[Diagnostic, ...]]:
    """Strategy's name, where it stands, its claims in written order, and N131, N133-N135 for what states none."""
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
    claimed, margin = _split(entry.values)
    figure = read_figure(metric, claimed, entry.name_span)
    if not isinstance(figure, Figure):
        return figure
    ratio = read_figure(MARGIN, margin[1:], margin[0].span) if margin else None
    if isinstance(ratio, Diagnostic):
        return ratio
    return Claim(entry.name, entry.comparison or "=", figure, ratio, _span(entry, figure, ratio))


def _split(values: tuple[Value, ...]) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Values before the word `margin`, and from it on."""
    for i, value in enumerate(values):
        if isinstance(value, Word) and value.text == MARGIN.name:
            return values[:i], values[i:]
    return values, ()


def _span(entry: Entry, figure: Figure, ratio: Figure | None) -> Span:
    return entry.name_span.to((ratio or figure).span)
