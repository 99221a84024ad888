"""Branch and bound: candidates are priced in rounds until none is left that could be on the front.

Every candidate has a lower bound. A round prices the most promising of those that are open; what it finds closes
further candidates. Rounds have a fixed size and order on any worker, so the result does not depend on the number of
workers. Pairs of services for prefill and decode are searched after the strategies of one service (`pairs`). Where no
candidate meets every requirement, a second pass finds the one that misses them least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import PIECE, LowerBounds, TimeBound, misses_of, rate, vectors_of
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape
from dagc.search.front import Vectors, by_promise
from dagc.search.incumbents import Incumbents, Named, PricedStrategy
from dagc.search.layer_parts import Work
from dagc.search.pairs import ROUND, Pairs, Placed
from dagc.search.space import Families, Refusals, Space
from dagc.search.verdict import OBJECTIVES, StrategyVerdict

MOST_PAIRS = 500_000
"""Pairs of services past which an exhaustive search does not begin: it makes each of them."""


@dataclass(frozen=True)
class TooMany(Exception):
    """There are more pairs of services than an exhaustive search makes."""

    number: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched, and how candidates are judged before they are priced.

    `refusals` are of rules; `weigh` gives the share of a device that weights and reserve take on the fullest GPU. With
    `is_exhaustive` nothing is left to bounds on times, and all that fits by weights is priced.
    """

    facts: Facts
    space: Space
    refusals: Refusals
    weigh: Callable[[Candidate], float]
    is_exhaustive: bool = False


class Evaluator(Protocol):
    """What workers do: each takes what is asked, and gives the answers in the same order."""

    def price(self, named: Sequence[Named]) -> list[StrategyVerdict]:
        """Verdicts on strategies."""
        ...

    def seconds(self, asked: Sequence[Placed]) -> list[float]:
        """Prices of single services, as `SecondsOf` has them."""
        ...

    def parts(self, asked: Sequence[Work]) -> Sequence[Picoseconds]:
        """Times of parts of layers, as `Parts.times` has them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CandidateTable:
    """Candidates and their bounds, shape (candidates, objectives).

    `misses` says by how much each misses a requirement at least, and `names` which; 0 and empty where none is missed.
    """

    candidates: Sequence[Candidate]
    bounds: Vectors
    misses: npt.NDArray[np.float64]
    names: list[str]


Progress = Callable[[str, int, int], None]
"""Takes what is being done, and how many strategies are decided of how many."""


def _silent(_what: str, _decided: int, _generated: int) -> None:
    return


class Search:
    """A search in progress. `run` may be interrupted between rounds: `incumbents` then has what is known."""

    def __init__(
        self, problem: Problem, evaluation: Evaluator, most: int | None = None, report: Progress = _silent
    ) -> None:
        self._problem, self._evaluation, self._report = problem, evaluation, report
        self._bounds = LowerBounds(problem.facts, evaluation.parts)
        self.incumbents = Incumbents(evaluation.price, most)

    def admit(self, entries: Sequence[PricedStrategy]) -> None:
        """Compare strategies that are priced already with all others. They may lie outside of the space."""
        self.incumbents.admit(entries, self._problem.space.gpus)

    def run(self) -> None:
        """Decide every candidate, or as many as may be priced."""
        table, pairs = self._table(), self._pair_searches()
        is_done = self._best(table) and self._pair_rounds(pairs, Pairs.round)
        if is_done and not self.incumbents.front.vectors:
            is_done = self._nearest(table) and self._pair_rounds(pairs, Pairs.nearest_round)
        elif is_done:
            self.incumbents.tally.missed.update(name for name in table.names if name)
        for one in pairs if is_done else ():
            one.finish()
        self.incumbents.is_complete = is_done

    # What there is to price

    def _table(self) -> CandidateTable:
        """Candidates that fit by their weights, with their bounds; nothing is bounded in an exhaustive search."""
        self._report("generating strategies", 0, 0)
        candidates: list[Candidate] = []
        for number, one in enumerate(self._fitting(), 1):
            candidates.append(one)
            if number % PIECE == 0:
                self._progress(f"generating and bounding, {number:,}")
        count = len(candidates)
        self._progress(f"generating and bounding, {count:,}")
        if self._problem.is_exhaustive:
            return CandidateTable(candidates, np.zeros((count, len(OBJECTIVES))), np.zeros(count), [""] * count)
        facts = self._problem.facts
        gpus = np.array([one.gpus for one in candidates], dtype=np.float64)
        ttft, tpot = self._bounds.seconds([(one.services[0], one.batch) for one in candidates])
        whole = ttft + (facts.workload.output - 1) * tpot
        throughput = facts.workload.output * rate(np.array([one.batch for one in candidates]), whole)
        bound = TimeBound(ttft, tpot, throughput)
        misses = [one if one and one.miss > 0 else None for one in misses_of(facts, bound, gpus)]
        return CandidateTable(
            candidates,
            vectors_of(gpus, bound, facts.cluster.usd_per_gpu_second),
            np.array([one.miss if one else 0.0 for one in misses]),
            [one.name if one else "" for one in misses],
        )

    def _fitting(self) -> Iterator[Candidate]:
        """Every candidate that no rule refuses for a degree and whose weights fit."""
        space, tally = self._problem.space, self.incumbents.tally
        for batch in space.batches:
            families = Families(space, self._problem.refusals, batch)
            for shape in self._counted(families):
                share = self._problem.weigh(_alone(shape, batch))
                if share > 1:
                    tally.memory += families.members(shape)
                    self.incumbents.note_memory(share)
                    continue
                for options in space.options(shape, Phase.BOTH, batch):
                    yield Candidate((ServicePlan(shape, options),), batch)
            if "phase-pools" in space.over and self._problem.is_exhaustive:
                yield from self._pairs(batch)

    def _counted(self, families: Families) -> Iterator[ServiceShape]:
        """The shapes of families, with all that was generated and refused on the way to each in the tally."""
        for shape in families.shapes():
            self._count(families)
            yield shape
        self._count(families)

    def _count(self, families: Families) -> None:
        self.incumbents.tally.generated += families.generated
        self.incumbents.tally.refused += families.refused
        families.generated = 0
        families.refused.clear()

    def _pairs(self, batch: int) -> Iterator[Candidate]:
        """Prefill beside decode, of any two services that fit by themselves. Raises TooMany before it makes any."""
        gpus = self._problem.space.gpus
        prefill, decode = (self._services(phase, batch) for phase in (Phase.PREFILL, Phase.DECODE))
        first, last = (np.bincount([one.shape.gpus for one in each], minlength=gpus) for each in (prefill, decode))
        number = int(np.convolve(first, last)[: gpus + 1].sum())
        if number > MOST_PAIRS:
            raise TooMany(number)
        self.incumbents.tally.generated += number
        for one in prefill:
            for other in decode:
                if one.shape.gpus + other.shape.gpus <= gpus:
                    yield Candidate((one, other), batch)

    def _services(self, phase: Phase, batch: int) -> list[ServicePlan]:
        """The services of one phase that leave a GPU for the other."""
        space = self._problem.space
        families = Families(replace(space, gpus=space.gpus - 1), self._problem.refusals, batch, phase)
        fitting = [shape for shape in families.shapes() if self._problem.weigh(_alone(shape, batch)) <= 1]
        return [ServicePlan(one, options, phase) for one in fitting for options in space.options(one, phase, batch)]

    def _pair_searches(self) -> list[Pairs]:
        """A search of pairs for each batch; none where all candidates were made."""
        problem, incumbents = self._problem, self.incumbents
        if "phase-pools" not in problem.space.over or problem.is_exhaustive:
            return []
        searches: list[Pairs] = []
        for batch in problem.space.batches:
            services = [self._services(phase, batch) for phase in (Phase.PREFILL, Phase.DECODE)]
            bounds = [self._bounds.seconds([(one, batch) for one in each]) for each in services]
            known = [list(zip(each, bound[row].tolist(), strict=True))
                     for row, (each, bound) in enumerate(zip(services, bounds, strict=True))]  # fmt: skip
            searches.append(
                Pairs(problem.facts, incumbents, self._evaluation.seconds, problem.space.gpus, batch, *known)
            )
        incumbents.tally.generated += sum(one.number for one in searches)
        return searches

    # Rounds

    def _best(self, table: CandidateTable) -> bool:
        """Price what may be on the front; whether that was decided of all that misses no requirement."""
        left = np.flatnonzero(table.misses == 0)
        while True:
            if not self._problem.is_exhaustive:
                is_fallen = self.incumbents.front.dominated(table.bounds[left])
                self.incumbents.tally.dominated += int(is_fallen.sum())
                left = left[~is_fallen]
            if not (chosen := self._judge(table, left[by_promise(table.bounds[left], ROUND)])):
                return not len(left)
            left = np.setdiff1d(left, chosen, assume_unique=True)

    def _nearest(self, table: CandidateTable) -> bool:
        """Price what misses a requirement, the least miss first, until the rest misses one by more than the nearest."""
        left = np.flatnonzero(table.misses > 0)
        left = left[np.argsort(table.misses[left], kind="stable")]
        while True:
            if nearest := self.incumbents.nearest:
                is_fallen = table.misses[left] > nearest.verdict.miss
                rows: list[int] = left[is_fallen].tolist()
                self.incumbents.tally.missed.update(table.names[row] for row in rows)
                left = left[~is_fallen]
            chosen = self._judge(table, left)
            if not chosen:
                return not len(left)
            left = left[len(chosen) :]

    def _judge(self, table: CandidateTable, rows: npt.NDArray[np.int64]) -> list[int]:
        """Price the first of the rows, as many as a round has and as may be; returns them."""
        chosen: list[int] = rows[: self.incumbents.room(ROUND)].tolist()
        if chosen:
            self._progress("pricing")
            self.incumbents.judge([table.candidates[row] for row in chosen])
        return chosen

    def _pair_rounds(self, searches: Sequence[Pairs], go: Callable[[Pairs], bool]) -> bool:
        """Whether all pairs were decided; False where the limit came first."""
        for one in searches:
            while go(one):
                self._progress("searching pairs")
                if not self.incumbents.room(1):
                    return False
        return True

    def _progress(self, what: str) -> None:
        self._report(what, self.incumbents.tally.decided, self.incumbents.tally.generated)


def _alone(shape: ServiceShape, batch: int) -> Candidate:
    """The plain member of a shape."""
    return Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch)
