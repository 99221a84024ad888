"""Branch and bound: candidates are priced in rounds until none is left that could be on the front.

Every candidate has a lower bound. A round prices the most promising of those that are open; what it finds closes
further candidates. Rounds have a fixed size and order on any worker, so the result does not depend on the number of
workers. Pairs of services for prefill and decode are searched after the strategies of one service (`pairs`). Where no
candidate meets every requirement, a second pass finds the one that misses them least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.best import Evaluator
from dagc.search.bounds import TimeBound, misses_of, vectors_of
from dagc.search.budget import Budget
from dagc.search.candidate import Candidate
from dagc.search.front import Vectors, by_promise
from dagc.search.incumbents import Incumbents, PricedStrategy
from dagc.search.pairs import ROUND, Bounded, Pairs
from dagc.search.services import ServiceColumn, Services
from dagc.search.space import Space
from dagc.search.verdict import OBJECTIVES

MOST_PAIRS = 500_000
"""Pairs of services past which an exhaustive search does not begin: it makes each of them."""


@dataclass(frozen=True)
class TooMany(Exception):
    """There are more pairs of services than an exhaustive search makes."""

    number: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched.

    With `is_exhaustive` nothing is left to bounds on times, and all that fits by weights is priced.
    """

    facts: Facts
    space: Space
    is_exhaustive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CandidateTable:
    """Candidates and their bounds, shape (candidates, objectives).

    `misses` says by how much each misses a requirement at least, and `names` which; 0 and empty where none is missed.
    """

    candidates: Sequence[Candidate]
    bounds: Vectors
    misses: npt.NDArray[np.float64]
    names: list[str]


Progress = Callable[[str], None]
"""Takes what is being done."""


def _silent(_what: str) -> None:
    return


class Search:
    """A search in progress. `run` may be interrupted between rounds: `incumbents` then has what is known."""

    def __init__(
        self,
        problem: Problem,
        evaluation: Evaluator,
        services: Services,
        budget: Budget | None = None,
        report: Progress = _silent,
    ) -> None:
        self._problem, self._evaluation, self._report = problem, evaluation, report
        self._services = services
        self.incumbents = Incumbents(evaluation.price, budget or Budget())

    def admit(self, entries: Sequence[PricedStrategy]) -> None:
        """Compare strategies that are priced already with all others. They may lie outside of the space."""
        self.incumbents.admit(entries, self._problem.space.sizes)

    def run(self) -> None:
        """Decide every candidate, or as many as may be priced."""
        budget = self.incumbents.budget
        if not budget.take(1):
            return
        table = self._table()
        pairs = self._pair_searches() if not budget.has_ended else []
        is_done = not budget.has_ended and self._best(table) and self._pair_rounds(pairs, Pairs.round)
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
        space, facts = self._problem.space, self._problem.facts
        columns: list[ServiceColumn] = []
        for batch, size in product(space.batches, space.sizes):
            if not self.incumbents.budget.take(1):
                break
            columns.append(self._column(Phase.BOTH, size, batch))
            self._count(columns[-1])
        candidates = [Candidate((one,), column.batch) for column in columns for one in column.services]
        if self._problem.is_exhaustive:
            candidates += self._all_pairs() if "phase-pools" in space.over else []
            count = len(candidates)
            return CandidateTable(candidates, np.zeros((count, len(OBJECTIVES))), np.zeros(count), [""] * count)
        figures: Vectors = np.empty((5, 0))
        for one in columns:
            own = [np.full(len(one), float(one.gpus)), one.ttft, one.tpot, one.rates(facts), one.ttft_alone]
            figures = np.concatenate([figures, np.array(own)], axis=1)
        gpus, ttft, tpot, rates, alone = figures
        bound = TimeBound(ttft, tpot, facts.workload.output * rates)
        limited = replace(bound, ttft=alone)
        misses = [one if one and one.miss > 0 else None for one in misses_of(facts, limited, gpus)]
        return CandidateTable(
            candidates,
            vectors_of(gpus, bound, facts.cluster.usd_per_gpu_second),
            np.array([one.miss if one else 0.0 for one in misses]),
            [one.name if one else "" for one in misses],
        )

    def _column(self, phase: Phase, gpus: int, batch: int) -> ServiceColumn:
        self._progress("generating and bounding")
        return self._services.column(phase, gpus, batch)

    def _count(self, column: ServiceColumn) -> None:
        """Put what rules and weights leave out, and what is left, into the tally."""
        tally = self.incumbents.tally
        tally.generated += len(column)
        for family in column.families:
            tally.generated += family.refused.total() + family.weights
            tally.refused += family.refused
            tally.memory += family.weights

    def _phases(self, batch: int) -> list[list[Bounded]]:
        """The services of prefill and of decode that leave a GPU for the other, with their bounds."""
        found: list[list[Bounded]] = []
        for phase in (Phase.PREFILL, Phase.DECODE):
            found.append([])
            for size in range(1, self._problem.space.gpus):
                if not self.incumbents.budget.take(1):
                    break
                column = self._column(phase, size, batch)
                seconds = column.ttft if phase is Phase.PREFILL else column.tpot
                found[-1] += zip(column.services, seconds.tolist(), strict=True)
        return found

    def _all_pairs(self) -> list[Candidate]:
        """Prefill beside decode, of any two services that fit by themselves. Raises TooMany before it makes any."""
        space, made = self._problem.space, list[Candidate]()
        for batch in space.batches:
            prefill, decode = self._phases(batch)
            first, last = (
                np.bincount([one.shape.gpus for one, _ in each], minlength=space.gpus) for each in (prefill, decode)
            )
            number = int(np.convolve(first, last)[space.fewest : space.gpus + 1].sum())
            if number > MOST_PAIRS:
                raise TooMany(number)
            self.incumbents.tally.generated += number
            made += [
                Candidate((one, other), batch)
                for one, _ in prefill
                for other, _ in decode
                if one.shape.gpus + other.shape.gpus in space.sizes
            ]
        return made

    def _pair_searches(self) -> list[Pairs]:
        """A search of pairs for each batch; none where all candidates were made."""
        problem, incumbents = self._problem, self.incumbents
        if "phase-pools" not in problem.space.over or problem.is_exhaustive:
            return []
        searches = [
            Pairs(problem.facts, incumbents, self._evaluation.seconds, problem.space, batch, *self._phases(batch))
            for batch in problem.space.batches
        ]
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
        chosen: list[int] = rows[: self.incumbents.budget.take(min(ROUND, len(rows)))].tolist()
        if chosen:
            self._progress("pricing")
            self.incumbents.judge([table.candidates[row] for row in chosen])
        return chosen

    def _pair_rounds(self, searches: Sequence[Pairs], go: Callable[[Pairs], bool]) -> bool:
        """Whether all pairs were decided; False where the limit came first."""
        for one in searches:
            while go(one):
                self._progress("searching pairs")
                if not self.incumbents.budget.take(1):
                    return False
        return True

    def _progress(self, what: str) -> None:
        tally = self.incumbents.tally
        self._report(f"front: {what}: {tally.decided:,} of {tally.generated:,} decided")
