"""Two strategies over a quantity of the workload: which leads where, and from which whole number on the other does.

Each point is priced when it is first asked for, and kept. A lead is judged by the exact figures. Where one of the two
is refused or has no figure nobody leads, and the place where that begins is no break-even.

Changes of the lead are located by bisection from a ladder, and by a look around each place found: a figure over the
batch moves in steps as ranks fill, so near a break-even it may well change more than once. A lead that changes twice
between two rungs of the ladder, and nowhere near a place that is found, is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import isclose
from typing import Literal, TypeVar

from dagc.metrics import TTFT, Metric
from dagc.plan.plan import Plan, entering
from dagc.results import whatif as out
from dagc.results.structure import strategy_text
from dagc.results.values import value
from dagc.whatif.parameter import Answer, ParameterKind, Pricing, RefusedPlan
from dagc.whatif.workload import with_requests


@dataclass(frozen=True, slots=True)
class PriceQuery:
    """The quantity that is varied, from `low` to `high`, and the figures that are looked at."""

    over: str
    low: int
    high: int
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Figures by name, and whether memory suffices."""

    values: dict[str, float | None]
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Prices:
    """The figures of a plan by point; `known` grows as points are asked for."""

    plan: Plan
    question: PriceQuery
    pricing: Pricing
    known: dict[int, Point | RefusedPlan] = field(default_factory=dict[int, "Point | RefusedPlan"])

    def at(self, quantity: int) -> Point | RefusedPlan:
        """The plan with so many sequences or tokens."""
        if quantity not in self.known:
            answer = self.pricing.price(with_requests(self.plan, self.question.over, quantity))
            self.known[quantity] = self._point(answer) if isinstance(answer, Answer) else answer
        return self.known[quantity]

    def value(self, kind: Metric, quantity: int) -> float | None:
        """One figure there; None where the plan is refused or the figure undetermined."""
        point = self.at(quantity)
        return point.values[kind.name] if isinstance(point, Point) else None

    def tokens(self, kind: Metric, quantity: int) -> int:
        """Tokens that enter the layers at once: of all prompts for TTFT, else of a decode step."""
        plan = with_requests(self.plan, self.question.over, quantity)
        if kind is TTFT:
            load = entering(plan).facts.workload
            return load.batch * load.fresh
        return plan.facts.workload.batch * (1 + plan.facts.workload.drafted)

    def side(self) -> out.Side:
        """What is known of the plan over all points."""
        points = {quantity: self.known[quantity] for quantity in sorted(self.known)}
        full = (q for q, point in points.items() if isinstance(point, Point) and point.fits is False)
        refused: dict[str, out.Refusal] = {}
        for quantity, point in points.items():
            if isinstance(point, RefusedPlan):
                refused.setdefault(point.problem.code.code, self._refusal(quantity, point))
        deployment = self.plan.deployment
        return out.Side(
            strategy=strategy_text(deployment),
            gpus=deployment.gpus,
            full_from=next(full, None),
            refusals=list(refused.values()),
        )

    def _point(self, answer: Answer) -> Point:
        values = {one.name: value(one, answer.plan, answer.found) for one in self.question.metrics}
        return Point(values, answer.fits)

    def _refusal(self, quantity: int, refused: RefusedPlan) -> out.Refusal:
        return out.Refusal(
            parameter=self.question.over,
            title=self.question.over,
            kind=ParameterKind.WORKLOAD.value,
            change=f"{quantity:,}",
            code=refused.problem.code.code,
            reason=refused.problem.message,
        )


Sign = TypeVar("Sign", bound=Hashable)
"""What may change."""

MOST_POINTS = 120
"""Places that are looked at in all; past them changes may be left unlocated, and are then not reported."""


def ladder(low: int, high: int) -> tuple[int, ...]:
    """Whole numbers from `low` to `high`, both included: powers of two and half as much again between them."""
    rungs = {low, high}
    power = 1
    while power <= high:
        rungs |= {power, power + power // 2}
        power *= 2
    return tuple(sorted(rung for rung in rungs if low <= rung <= high))


def located(known: Mapping[int, Sign], look: Callable[[int], Sign]) -> dict[int, Sign]:
    """What is known and as much more as shows each change between neighbours, x and x + 1.

    Around each change found, places at distances 1, 2, 4, ... up to the rungs beside it are looked at too.
    """
    found = dict(known)
    rungs = sorted(known)
    while len(found) < MOST_POINTS:
        missing = [*_halves(found)] or [*_around(found, rungs)]
        if not missing:
            break
        for place in missing[: MOST_POINTS - len(found)]:
            found[place] = look(place)
    return found


def changes(found: Mapping[int, Hashable]) -> tuple[int, ...]:
    """Places at which something else is found than one step before."""
    return tuple(b for a, b in pairwise(sorted(found)) if b == a + 1 and found[a] != found[b])


def _halves(found: Mapping[int, Hashable]) -> Iterator[int]:
    for a, b in pairwise(sorted(found)):
        if found[a] != found[b] and b - a > 1:
            yield (a + b) // 2


def _around(found: Mapping[int, Hashable], rungs: list[int]) -> Iterator[int]:
    """Places near changes that are not looked at yet."""
    seen: set[int] = set()
    for place in changes(found):
        low = max((rung for rung in rungs if rung < place), default=place)
        high = min((rung for rung in rungs if rung >= place), default=place)
        distance = 1
        while distance <= max(high - place, place - low):
            near = {place - 1 - distance, place + distance} - seen - found.keys()
            fitting = sorted(one for one in near if low < one < high)
            seen |= set(fitting)
            yield from fitting
            distance *= 2


class Lead(StrEnum):
    """Whose figure is better."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"
    UNKNOWN = "unknown"


def compare(first: Prices, second: Prices, say: Callable[[int], None]) -> out.PlanComparison:
    """Every break-even of two plans that were asked the same question, one list for each figure.

    `say` reports each point.
    """
    asked = first.question
    rungs = ladder(asked.low, asked.high)
    figures = [_figure(first, second, kind, rungs, say) for kind in asked.metrics]
    both = sorted(first.known.keys() & second.known.keys())
    return out.PlanComparison(
        sides=(first.side(), second.side()),
        over=asked.over,
        low=asked.low,
        high=asked.high,
        priced=[point for point in both if isinstance(first.at(point), Point) and isinstance(second.at(point), Point)],
        figures=figures,
    )


def _figure(
    first: Prices, second: Prices, kind: Metric, rungs: Sequence[int], say: Callable[[int], None]
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
        title=kind.titled(one.plan.facts.workload.ttft_definition for one in (first, second)),
        better=kind.better or "less",
        leads=_named(leads[known[0]]) if known else None,
        crossings=[_crossing(first, second, kind, place, leads[place]) for place in places],
        is_monotone=_is_monotone([(a, b) for a, b in values if a is not None and b is not None]),
    )


def _lead(kind: Metric, first: float | None, second: float | None) -> Lead:
    if first is None or second is None:
        return Lead.UNKNOWN
    if isclose(first, second, rel_tol=1e-12):
        return Lead.NEITHER
    return Lead.FIRST if (first < second) == (kind.better == "less") else Lead.SECOND


def _named(lead: Lead) -> Literal["first", "second"] | None:
    if lead is Lead.FIRST:
        return "first"
    return "second" if lead is Lead.SECOND else None


def _crossing(first: Prices, second: Prices, kind: Metric, place: int, lead: Lead) -> out.CrossingRecord:
    before, values = (
        (first.value(kind, point) or 0.0, second.value(kind, point) or 0.0) for point in (place - 1, place)
    )
    return out.CrossingRecord(
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
