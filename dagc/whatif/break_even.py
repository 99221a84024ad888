"""Two strategies over a quantity of the workload: which leads where, and from which whole number on the other does.

A lead is judged by the exact figures. Where one of the two is refused or has no figure nobody leads, and the place
where that begins is no break-even.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import pairwise
from math import isclose
from typing import Literal

from dagc.report import whatif as out
from dagc.report.figures import FigureKind
from dagc.report.ttft import definition
from dagc.whatif.crossing import changes, ladder, located
from dagc.whatif.figures import better
from dagc.whatif.prices import Point, Prices


class Lead(StrEnum):
    """Whose figure is better."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"
    UNKNOWN = "unknown"


def compare(first: Prices, second: Prices, say: Callable[[int], None]) -> out.Duel:
    """Every break-even of two plans that were asked the same question, one list for each figure.

    `say` is told of each point.
    """
    asked = first.question
    rungs = ladder(asked.low, asked.high)
    figures = [_figure(first, second, kind, rungs, say) for kind in asked.metrics]
    both = sorted(first.known.keys() & second.known.keys())
    return out.Duel(
        sides=(first.side(), second.side()),
        over=asked.over,
        low=asked.low,
        high=asked.high,
        priced=[point for point in both if isinstance(first.at(point), Point) and isinstance(second.at(point), Point)],
        figures=figures,
    )


def _figure(
    first: Prices, second: Prices, kind: FigureKind, rungs: Sequence[int], say: Callable[[int], None]
) -> out.BreakEven:
    def lead(point: int) -> Lead:
        say(point)
        return _lead(kind, first.value(kind, point), second.value(kind, point))

    leads = located({rung: lead(rung) for rung in rungs}, lead)
    known = [point for point in sorted(leads) if leads[point] is not Lead.UNKNOWN]
    places = [place for place in changes(leads) if Lead.UNKNOWN not in (leads[place - 1], leads[place])]
    values = [(first.value(kind, point), second.value(kind, point)) for point in known]
    return out.BreakEven(
        metric=kind.name,
        title=kind.titled(definition(one.plan.facts.workload) for one in (first, second)),
        better=better(kind),
        leads=_named(leads[known[0]]) if known else None,
        crossings=[_crossing(first, second, kind, place, leads[place]) for place in places],
        is_monotone=_is_monotone([(a, b) for a, b in values if a is not None and b is not None]),
    )


def _lead(kind: FigureKind, first: float | None, second: float | None) -> Lead:
    if first is None or second is None:
        return Lead.UNKNOWN
    if isclose(first, second, rel_tol=1e-12):
        return Lead.NEITHER
    return Lead.FIRST if (first < second) == (kind.better == "less") else Lead.SECOND


def _named(lead: Lead) -> Literal["first", "second"] | None:
    if lead is Lead.FIRST:
        return "first"
    return "second" if lead is Lead.SECOND else None


def _crossing(first: Prices, second: Prices, kind: FigureKind, place: int, lead: Lead) -> out.Crossing:
    before, values = (
        (first.value(kind, point) or 0.0, second.value(kind, point) or 0.0) for point in (place - 1, place)
    )
    return out.Crossing(
        at=place,
        tokens=first.tokens(kind, place),
        leads=_named(lead),
        before=before,
        values=values,
        before_texts=(kind.text(before[0]), kind.text(before[1])),
        texts=(kind.text(values[0]), kind.text(values[1])),
    )


def _is_monotone(values: Sequence[tuple[float, float]]) -> bool:
    """Whether the ratio of the two goes one way, but for rounding in the last bits."""
    ratios = [first / second for first, second in values if second]
    steps = [b - a for a, b in pairwise(ratios) if not isclose(a, b, rel_tol=1e-9)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)
