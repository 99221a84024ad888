"""The best plan for a goal, and the proof of how good it is: walks over families and cells, in stages.

Whole nodes come first: cells of which one service takes a power of two of them, strategies of whole nodes, all cells
of whole nodes, then the rest. Opening a stage enumerates its services, but for those of decode, which wait for their
cell's turn. A plan that looks good is priced at once; then all stages are walked by turns until nothing in them can
be better than the best. What is not open yet has a bound of its own: no GPU computes faster than its peak, and of many
GPUs no service yields more than ranks like its own do (`dagc.search.size_bounds`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from dagc.plan.deployment import Phase
from dagc.search.best import Best, Evaluator
from dagc.search.bounds import requests_per_gpu_second
from dagc.search.budget import Budget
from dagc.search.candidate import spell
from dagc.search.goal import Goal
from dagc.search.incumbents import PricedStrategy
from dagc.search.pair_walks import CellOutcome, PairWalk
from dagc.search.services import FamilyCount, ServiceColumn, Services
from dagc.search.space import Space
from dagc.search.walks import FamilyOutcome, ServiceWalk
from dagc.search.yields import Yields, likely_pairs


@dataclass(frozen=True, slots=True)
class ServiceCount:
    """Services of one phase on so many GPUs: their families, and those that fit by their weights."""

    phase: Phase
    gpus: int
    batch: int
    families: tuple[FamilyCount, ...]
    fitting: int


@dataclass(frozen=True, slots=True)
class NotEnumerated:
    """Sizes and cells that were not enumerated, and the best score that their plans may have: 0 where nothing is known,
    infinite where there are none.

    `yields` are what services of any size yield, None where that is not worked out; `score_by_yields` is the best score
    that plans of any size and cell may have by them, enumerated or not.
    """

    sizes: tuple[int, ...]
    cells: tuple[tuple[int, int], ...]
    score: float
    yields: Yields | None = None
    score_by_yields: float = 0.0


@dataclass(slots=True)
class GoalResult:
    """What was found for a goal. `best_bound` is the best score that a plan may have that was not priced."""

    best: Best
    families: list[FamilyOutcome] = field(default_factory=list[FamilyOutcome])
    services: list[ServiceCount] = field(default_factory=list[ServiceCount])
    cells: list[CellOutcome] = field(default_factory=list[CellOutcome])
    not_enumerated: NotEnumerated | None = None
    best_bound: float = float("inf")

    @property
    def is_proven(self) -> bool:
        """Whether no plan that was not priced can be better than the best; or none can meet what is required."""
        return self.best_bound >= self.best.score if self.best.entry else self.best_bound == float("inf")

    @property
    def gap(self) -> float | None:
        """By which share a plan that was not priced may be better at most; None where nothing limits it."""
        if self.best.entry is None or self.best_bound == 0:
            return None
        return max(0.0, self.best.score / self.best_bound - 1) if self.best_bound < float("inf") else 0.0


@dataclass(frozen=True, slots=True)
class _Left:
    """Sizes and cells that are not enumerated yet."""

    sizes: list[int]
    cells: list[tuple[int, int]]


MANY = 128
"""GPUs beyond which columns take too long to enumerate: a part is searched first, pairs that often do well are priced,
and it is worked out what services of any size yield."""

BOUNDING_SECONDS = 30
"""Seconds that have to be left for that: on 1,024 GPUs it takes about as long, and is not interrupted."""

CELLS = 4
"""Cells of which a pair is priced before anything else."""

Cells = Sequence[tuple[int, int]]


def stages(space: Space, node: int) -> Iterator[tuple[Sequence[int], Cells]]:
    """Sizes and cells in the order in which they are enumerated."""
    sizes = range(space.fewest, space.gpus + 1)
    whole = [size for size in sizes if size % node == 0 or size == space.gpus]
    cells = [(p, size - p) for size in sizes for p in range(1, size)] if "phase-pools" in space.over else []
    unit = node if any(p % node == d % node == 0 for p, d in cells) else 1

    def is_whole(cell: tuple[int, int]) -> bool:
        return all(one % unit == 0 for one in cell)

    def order(cell: tuple[int, int]) -> tuple[bool, float, int]:
        is_power = any((one // unit).bit_count() == 1 for one in cell)
        return not is_power, max(cell) / min(cell), cell[0]

    first = sorted(filter(is_whole, cells), key=order)
    yield (), first[:CELLS]
    yield whole, first[CELLS:]
    yield [size for size in sizes if size not in set(whole)], [cell for cell in cells if not is_whole(cell)]


class Optimizer:
    """Finds the best plans for goals in one space; bounds and prices that one goal needed are there for the next."""

    def __init__(
        self, space: Space, services: Services, evaluator: Evaluator, budget: Budget, report: Callable[[str], None]
    ) -> None:
        self._space, self._services, self._evaluator = space, services, evaluator
        self._budget, self._report = budget, report

    def solve(
        self, goal: Goal, known: Sequence[PricedStrategy] = (), patience: int | None = None, is_enough: bool = False,
        most: int | None = None,
    ) -> GoalResult:  # fmt: skip
        """The best plan for a goal, `known` ones among those compared.

        `is_enough` ends with the first plan that meets it, `patience` after so many evaluations without one, `most`
        after so many in any case.
        """
        best, walks = Best(goal), list[ServiceWalk | PairWalk]()
        for entry in known:
            best.take(entry)
        is_large = most is None and self._space.gpus > MANY
        if is_large and "phase-pools" in self._space.over:
            named = [(spell(one), goal.batch) for one in likely_pairs(self._space, goal.facts.cluster.gpus_per_node)]
            named = named[: self._budget.take(len(named))]
            for one, verdict in zip(named, self._evaluator.price(named), strict=True):
                best.take(PricedStrategy(*one, verdict))
        yields = self._yields(goal) if is_large else None
        begun = self._budget.evaluations
        planned = list(stages(self._space, goal.facts.cluster.gpus_per_node))
        left = _Left([size for sizes, _ in planned for size in sizes], [cell for _, cells in planned for cell in cells])
        by_yields = self._score(goal, left.sizes, left.cells, yields) if yields else 0.0

        def ends() -> bool:
            asked = self._budget.evaluations - begun
            is_over = patience is not None and asked >= patience and best.entry is None
            is_over |= most is not None and asked >= most
            return self._budget.has_ended or is_over or (is_enough and best.entry is not None)

        try:
            for number, (sizes, cells) in enumerate(planned):
                if ends():
                    break
                added = self._stage_walks(goal, sizes, cells, left)
                walks += added
                for walk in added:
                    if (isinstance(walk, ServiceWalk) or number == 0) and not ends():
                        walk.dive(best, self._evaluator, self._budget)
                self._walk(walks, best, ends)
        except KeyboardInterrupt:
            self._budget.ended_by = "interrupt"
        rest = NotEnumerated(tuple(left.sizes), tuple(left.cells), inf, yields, by_yields)
        return self._answer(goal, best, walks, rest)

    def _stage_walks(self, goal: Goal, sizes: Sequence[int], cells: Cells, left: _Left) -> list[ServiceWalk | PairWalk]:
        """The walks of a stage, of as many sizes and cells as there is time to enumerate; the rest stays in `left`."""
        self._report("enumerating strategies")
        batch, column = goal.batch, self._services.column
        walks: list[ServiceWalk | PairWalk] = []
        prefill: list[tuple[ServiceColumn, int]] = []
        for size in sizes:
            if not self._enumerates(Phase.BOTH, size, batch):
                break
            walks.append(ServiceWalk(goal, column(Phase.BOTH, size, batch)))
            left.sizes.remove(size)
        for p, d in cells:
            if not self._enumerates(Phase.PREFILL, p, batch):
                break
            prefill.append((column(Phase.PREFILL, p, batch), p + d))
            left.cells.remove((p, d))
        return [*walks, PairWalk(goal, prefill, lambda gpus: column(Phase.DECODE, gpus, batch))] if prefill else walks

    def _enumerates(self, phase: Phase, gpus: int, batch: int) -> bool:
        """Whether there is room to enumerate a column, which is counted; one that is known takes none."""
        return self._services.is_known(phase, gpus, batch) or self._budget.take(1) == 1

    def _walk(self, walks: Sequence[ServiceWalk | PairWalk], best: Best, ends: Callable[[], bool]) -> None:
        """Rounds of all walks by turns until none has anything left, or the search ends."""
        left = list(walks)
        while left and not ends():
            before, left = left, list[ServiceWalk | PairWalk]()
            for walk in before:
                if ends():
                    return
                if walk.work(best, self._evaluator, self._budget):
                    left.append(walk)
                self._report(_progress(best, self._budget))

    def _yields(self, goal: Goal) -> Yields | None:
        """What services of any size yield, where the objective is about that and there is time to work it out."""
        is_asked = goal.objective in ("throughput_per_gpu", "cost", "throughput")
        left = self._budget.seconds_left
        if not is_asked or (left is not None and left < BOUNDING_SECONDS) or self._budget.take(1) < 1:
            return None
        self._report("bounding services of any size")
        known = self._services.size_bounds(goal.batch)
        return known.yields(goal) if known else None

    def _answer(
        self, goal: Goal, best: Best, walks: Sequence[ServiceWalk | PairWalk], rest: NotEnumerated
    ) -> GoalResult:
        answer = GoalResult(best)
        asked: set[tuple[Phase, int]] = set()
        for walk in walks:
            answer.best_bound = min(answer.best_bound, walk.best_bound())
            if isinstance(walk, ServiceWalk):
                answer.families += walk.outcomes()
            else:
                answer.cells += walk.outcomes()
        for one in answer.cells:
            asked |= {(Phase.PREFILL, one.prefill_gpus)}
            asked |= {(Phase.DECODE, one.decode_gpus)} if one.decode is not None else set()
        for phase, gpus in sorted(asked):
            column = self._services.column(phase, gpus, goal.batch)
            answer.services.append(ServiceCount(phase, gpus, goal.batch, tuple(column.families), len(column)))
        if rest.sizes or rest.cells:
            rest = replace(rest, score=self._score(goal, rest.sizes, rest.cells, rest.yields))
        if rest.score < inf or rest.yields:
            answer.not_enumerated = rest
            answer.best_bound = max(min(answer.best_bound, rest.score), rest.score_by_yields)
        return answer

    def _score(self, goal: Goal, sizes: Sequence[int], cells: Cells, yields: Yields | None) -> float:
        """The best score of plans of these sizes and cells: by what services yield, and by the peak of the device."""
        each, none = goal.facts.workload.output * requests_per_gpu_second(goal.facts), np.zeros(1)
        asked = [(size, yields.of_size(size) if yields else inf) for size in sizes]
        asked += [(sum(cell), yields.of_pair(*cell) if yields else inf) for cell in cells]
        most: dict[int, float] = {}
        for gpus, tokens in asked:
            most[gpus] = max(most.get(gpus, 0.0), min(tokens, each * gpus))
        return min(float(goal.score(gpus, none, none, none + tokens)[0]) for gpus, tokens in most.items())


def _progress(best: Best, budget: Budget) -> str:
    if best.entry is None:
        return f"{budget.evaluations:,} evaluations, no plan that meets the requirements yet"
    return f"{budget.evaluations:,} evaluations, best so far `{best.entry.strategy}`"
