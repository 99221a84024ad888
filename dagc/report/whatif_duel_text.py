"""Two strategies over a quantity of the workload, as a table for a person: who leads from where on, and by how much."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.report.whatif import BreakEven, Duel
from dagc.units import format_gpus

MOST_SHOWN = 4
"""Break-even points of one figure that are printed; the document has all."""

_LEADS = {"first": "A", "second": "B", None: "equal"}


def render_duel(duel: Duel) -> Iterator[str]:
    """The pair, a row for each figure and each break-even, then what does not fit or cannot be."""
    for letter, side in zip("AB", duel.sides, strict=True):
        yield f"{letter}  {side.strategy}   {format_gpus(side.gpus)}"
    yield ""
    head = ["", f"from {duel.over}", "leads", "A", "B", "A before", "B before", "concurrent tokens"]
    rows = [head, *(row for figure in duel.figures for row in _rows(duel, figure))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    values = f"{len(duel.priced)} value{'s' * (len(duel.priced) != 1)} of {duel.over}"
    yield f"{values} between {duel.low:,} and {duel.high:,} evaluated"
    yield from _limits(duel)


def _rows(duel: Duel, figure: BreakEven) -> Iterator[list[str]]:
    first = f"{duel.priced[0]:,}" if duel.priced else "-"
    yield [figure.title, first, _LEADS[figure.leads], *[""] * 5]
    for one in figure.crossings[:MOST_SHOWN]:
        yield ["", f"{one.at:,}", _LEADS[one.leads], *one.texts, *one.before_texts, f"{one.tokens:,}"]
    more = figure.crossings[MOST_SHOWN:]
    if more:
        yield ["", f"{more[-1].at:,}", _LEADS[more[-1].leads], f"after {len(more)} more changes", *[""] * 4]


def _limits(duel: Duel) -> Iterator[str]:
    for letter, side in zip("AB", duel.sides, strict=True):
        if side.full_from is not None:
            yield f"{letter} does not fit in memory at {duel.over} {side.full_from:,}"
        yield from (f"no {letter} at {duel.over} {one.change}, {one.code}: {one.reason}" for one in side.refusals)
