"""Which plan of a front is recommended: the first whose simulated requests meet every requirement.

The closed form ranks plans, and knows neither percentiles nor TTFT under load. So plans are simulated in the order of
their rank, in rounds of a fixed size and number, until a round has a plan that meets all. Where none has, the plans
that miss least are simulated under lower loads, and the one that meets all under the highest is recommended there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dagc.results import search_result as out
from dagc.search.incumbents import Named, PricedStrategy
from dagc.search.verdict import Judged

ROUND = 5
"""Plans that are simulated at once: so many are shown with figures under load."""

MOST = 20
"""Plans of a front that are simulated at most under the load that is asked."""


class LoadFigures(NamedTuple):
    """What a plan does under load: the highest load, its simulated requests, the ratio of its pools, and verdicts on
    the requirements that simulated requests decide too.
    """

    highest: out.HighestLoad | None = None
    simulated: out.SimulatedPlan | None = None
    ratio: out.PoolRatio | None = None
    judged: tuple[Judged, ...] = ()

    @property
    def is_missed(self) -> bool:
        """Whether simulated requests miss a requirement."""
        return self.simulated is not None and self.simulated.met is False

    @property
    def miss(self) -> float:
        """The largest miss of a requirement."""
        return max((one.miss or 0.0 for one in self.judged), default=0.0)


UNKNOWN = LoadFigures()
"""Of a plan that was not simulated."""

Simulated = Callable[[Sequence[Named]], Sequence[LoadFigures]]
Lowered = Callable[[Sequence[Named]], Sequence[tuple[PricedStrategy, LoadFigures] | None]]


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """What was simulated of plans, and the one that is recommended, with its figures; None where none is.

    `is_lowered` where it is recommended under a lower load than was asked.
    """

    loads: Mapping[Named, LoadFigures] = field(default_factory=dict[Named, LoadFigures])
    chosen: PricedStrategy | None = None
    figures: LoadFigures = UNKNOWN
    is_lowered: bool = False

    def load_of(self, entry: PricedStrategy) -> LoadFigures:
        """What is known of a plan of the front."""
        return self.loads.get((entry.strategy, entry.batch), UNKNOWN)

    def misses(self, entry: PricedStrategy) -> bool:
        """Whether a plan was simulated, and misses a requirement."""
        return self.load_of(entry).is_missed


def choose(ranked: Sequence[PricedStrategy], simulated: Simulated, lowered: Lowered | None) -> PlanChoice:
    """The choice among plans in the order of their rank; without `lowered` no other load can be tried."""
    loads = dict[Named, LoadFigures]()
    for begin in range(0, min(len(ranked), MOST), ROUND):
        part = [(one.strategy, one.batch) for one in ranked[begin : begin + ROUND]]
        loads.update(zip(part, simulated(part), strict=True))
        known = PlanChoice(loads)
        chosen = next((one for one in ranked[: begin + ROUND] if not known.misses(one)), None)
        if chosen:
            return PlanChoice(loads, chosen, known.load_of(chosen))
    if lowered is None:
        return PlanChoice(loads)
    nearest = sorted(loads, key=lambda named: loads[named].miss)[:ROUND]
    found = [one for one in lowered(nearest) if one]
    if not found:
        return PlanChoice(loads)
    best, figures = max(found, key=lambda one: one[0].batch)
    return PlanChoice(loads, best, figures, is_lowered=True)
