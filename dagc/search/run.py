"""The search itself: rounds of candidates are priced until none is left that could be on the front.

Candidates stand in a table with their bounds. A round takes the most promising of those that are open: where some of
them have a first bound only, the next ones of that kind are refined, else they are priced. What either finds closes
further candidates. While bounds are refined the next ones begin to be, so that nobody waits for the end of a round.
Rounds have a fixed size and order on any worker, so the result does not depend on the number of workers. Where
no candidate meets every requirement, a second pass finds the one that misses them least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.bounding import Bounding, LeastOf
from dagc.search.candidate import Candidate, ServicePlan, Shape
from dagc.search.executors import Awaited
from dagc.search.families import Families, Refusals
from dagc.search.found import Entry, Found, Tally
from dagc.search.front import Front
from dagc.search.pairs import Means, Pairs
from dagc.search.space import Space
from dagc.search.spelling import spell
from dagc.search.table import Mask, Rows, Table, unbounded
from dagc.search.verdict import Vector, Verdict

ROUND = 64
"""Candidates of a round, priced or refined."""

AHEAD = 2
"""Rounds of refining that are under way at once."""

MOST_PAIRS = 500_000
"""Pairs of services past which an exhaustive search does not begin: it makes each of them."""

Named = tuple[str, int]
"""A strategy's text and a batch."""


@dataclass(frozen=True)
class TooMany(Exception):
    """There are more pairs of services than an exhaustive search makes."""

    number: int


@dataclass(frozen=True, slots=True)
class Labour:
    """What is done elsewhere: strategies priced, and least times found, both in the order that was asked for."""

    price: Callable[[Sequence[Named]], list[Verdict]]
    least: LeastOf


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched, and how candidates are judged before they are priced.

    `refusals` are of rules; `weigh` gives the share of a device that weights and reserve take on the
    fullest GPU, `share` the one that all takes which one service of a pair holds; `compute` what layers compute at
    least, for first bounds. With `is_exhaustive` nothing is left to bounds on times, and all that fits by weights is
    priced.
    """

    facts: Facts
    space: Space
    refusals: Refusals
    weigh: Callable[[Candidate], float]
    share: Callable[[ServicePlan, int], float]
    compute: LeastOf
    is_exhaustive: bool = False


Order = Callable[[Rows, int], Rows]
"""Puts rows in the order in which they are tried: the first of them, with so many that are not precise, or all."""

Close = Callable[[Table, Mask], None]
"""Closes what need not be tried any more."""

Tell = Callable[[str, int, int], None]
"""Takes what is being done, and how many strategies are decided of how many."""


def _silent(_what: str, _decided: int, _generated: int) -> None:
    return


class Search:
    """A search in progress. `run` may be interrupted between rounds: `found` then has what is known."""

    def __init__(self, problem: Problem, labour: Labour, most: int | None = None, tell: Tell = _silent) -> None:
        self._problem, self._labour, self._most, self._tell = problem, labour, most, tell
        self._bounding = Bounding(problem.facts, problem.compute, labour.least)
        self._front, self._entries = Front(), dict[Vector, Entry]()
        self._nearest: Entry | None = None
        self._least_memory: float | None = None
        self._is_complete = False
        self.tally = Tally()

    @property
    def found(self) -> Found:
        """What is known so far."""
        kept = sorted((self._entries[vector] for vector in self._front.vectors), key=lambda entry: entry.rank)
        nearest = None if kept else self._nearest
        return Found(self.tally, tuple(kept), nearest, self._least_memory, self._is_complete)

    def admit(self, entries: Iterable[Entry]) -> None:
        """Compare strategies that are priced already with all others. They may lie outside of the space."""
        for entry in entries:
            verdict = entry.verdict
            if verdict.code is None and not verdict.is_over and verdict.vector[0] <= self._problem.space.gpus:
                self._place(entry)

    def run(self) -> Found:
        """Decide every candidate, or as many as may be priced."""
        table, pairs = self._table(), self._pair_searches()
        is_done = self._rounds(table, table.misses == 0, table.by_promise, self._close_beaten)
        is_done = is_done and self._pair_rounds(pairs, Pairs.round)
        if is_done and not self._front.vectors:
            is_done = self._rounds(table, table.misses > 0, table.by_miss, self._close_misses)
            is_done = is_done and self._pair_rounds(pairs, Pairs.nearest_round)
        elif is_done:
            self.tally.missed.update(name for name in table.names if name)
        for one in pairs if is_done else ():
            one.finish()
        self._is_complete = is_done
        return self.found

    # What there is to price

    def _table(self) -> Table:
        """Candidates that fit by their weights, with their first bounds."""
        self._tell("generating strategies", 0, 0)
        if self._problem.is_exhaustive:
            return unbounded(list(self._fitting()))
        say = "generating and bounding"
        return self._bounding.table(self._fitting(), lambda done: self._tell(f"{say}, {done:,}", *self._progress))

    def _fitting(self) -> Iterator[Candidate]:
        """Every candidate that no rule refuses for a degree and whose weights fit."""
        space, tally = self._problem.space, self.tally
        for batch in space.batches:
            families = Families(space, self._problem.refusals, batch)
            for shape in self._counted(families):
                share = self._problem.weigh(_alone(shape, batch))
                if share > 1:
                    tally.memory += families.members(shape)
                    self._least_memory = min(share, self._least_memory or share)
                    continue
                for options in space.options(shape, Phase.BOTH, batch):
                    yield Candidate((ServicePlan(shape, options),), batch)
            if "phase-pools" in space.over and self._problem.is_exhaustive:
                yield from self._pairs(batch)

    def _counted(self, families: Families) -> Iterator[Shape]:
        """The shapes of families, with all that was generated and refused on the way to each in the tally."""
        for shape in families.shapes():
            self._count(families)
            yield shape
        self._count(families)

    def _count(self, families: Families) -> None:
        self.tally.generated += families.generated
        self.tally.refused += families.refused
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
        self.tally.generated += number
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
        space, limit = self._problem.space, self._most
        if "phase-pools" not in space.over or self._problem.is_exhaustive:
            return []
        means = Means(
            facts=self._problem.facts,
            bounding=self._bounding,
            judge=self._judge,
            share=self._problem.share,
            front=self._front,
            tally=self.tally,
            nearest_miss=lambda: self._nearest.verdict.miss if self._nearest else None,
            room=lambda: ROUND if limit is None else max(0, limit - self._spent),
        )
        both = (Phase.PREFILL, Phase.DECODE)
        found = [Pairs(means, space.gpus, b, *(self._services(phase, b) for phase in both)) for b in space.batches]
        self.tally.generated += sum(one.number for one in found)
        return found

    # Rounds

    def _pair_rounds(self, searches: Sequence[Pairs], go: Callable[[Pairs], bool]) -> bool:
        """Whether all pairs were decided; False where the limit came first."""
        for one in searches:
            while go(one):
                self._tell("searching pairs", *self._progress)
                if self._is_spent:
                    return False
        return True

    def _rounds(self, table: Table, is_open: Mask, order: Order, close: Close) -> bool:
        """Whether all open candidates were decided; False where the limit came first."""
        close(table, is_open)
        refining: deque[Awaited[None]] = deque()
        is_away = np.zeros_like(is_open)
        while is_open.any() and not self._is_spent:
            rows = order(np.flatnonzero(is_open), ROUND * (1 + len(refining)))
            vague = rows[~(table.is_precise | is_away)[rows]][:ROUND]
            if table.is_precise[rows[:ROUND]].all():
                self._tell("pricing", *self._progress)
                chosen = rows[: ROUND if self._most is None else min(ROUND, self._most - self._spent)]
                numbers: list[int] = chosen.tolist()
                self._judge([table.candidates[i] for i in numbers])
                is_open[chosen] = False
            elif len(vague) and len(refining) < AHEAD:
                refining.append(self._bounding.refine(table, vague, is_open))
                is_away[vague] = True
                continue
            else:
                self._tell("refining bounds", *self._progress)
                refining.popleft()()
            close(table, is_open)
        for one in refining:
            one()
        return not is_open.any()

    @property
    def _spent(self) -> int:
        """Strategies that were priced, or found not to fit when they were."""
        return self.tally.priced + self.tally.over

    @property
    def _is_spent(self) -> bool:
        """Whether as many were priced as may be."""
        return self._most is not None and self._spent >= self._most

    @property
    def _progress(self) -> tuple[int, int]:
        return self.tally.decided, self.tally.generated

    def _judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        named = [(spell(one), one.batch) for one in candidates]
        found = self._labour.price(named)
        for (text, batch), verdict in zip(named, found, strict=True):
            self._take(Entry(text, batch, verdict))
        return found

    def _take(self, entry: Entry) -> None:
        verdict, tally = entry.verdict, self.tally
        if verdict.is_over:
            tally.over += 1
            share = verdict.memory_share or 0.0
            self._least_memory = min(share, self._least_memory or share)
        elif verdict.code is not None:
            tally.refused[verdict.code] += 1
        else:
            tally.priced += 1
            missed = self._place(entry)
            tally.priced_missing.update([missed] if missed else [])

    def _place(self, entry: Entry) -> str | None:
        """Put a strategy on the front, where it belongs there; returns the first requirement that it misses."""
        missing = [one for one in entry.verdict.requirements if one.is_missed]
        if missing:
            if self._nearest is None or _nearness(entry) < _nearness(self._nearest):
                self._nearest = entry
            return missing[0].name
        vector = entry.verdict.vector
        known = self._entries.get(vector)
        if known is None or entry.rank < known.rank:
            self._entries[vector] = entry
        self._front.add(vector)
        return None

    # What need not be priced

    def _close_beaten(self, table: Table, is_open: Mask) -> None:
        """Close what the front dominates already; what was found to miss a requirement is left to the second pass."""
        if self._problem.is_exhaustive:
            return
        is_open &= table.misses == 0
        left = np.flatnonzero(is_open)
        fallen = left[self._front.dominated(table.bounds[left])]
        is_open[fallen] = False
        self.tally.dominated += len(fallen)

    def _close_misses(self, table: Table, is_open: Mask) -> None:
        """Close what misses a requirement by more than the nearest candidate misses any."""
        if self._nearest is None:
            return
        fallen = np.flatnonzero(is_open & (table.misses > self._nearest.verdict.miss))
        is_open[fallen] = False
        rows: list[int] = fallen.tolist()
        self.tally.missed.update(table.names[i] for i in rows)


def _nearness(entry: Entry) -> tuple[float, tuple[float | str | int, ...]]:
    return entry.verdict.miss, entry.rank


def _alone(shape: Shape, batch: int) -> Candidate:
    """The plain member of a shape."""
    return Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch)
