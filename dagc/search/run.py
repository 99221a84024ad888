"""The search itself: rounds of candidates are priced until none is left that could be on the front.

A round takes the next candidates of the table, and what it finds closes further ones before the next round begins.
Rounds have a fixed size whoever prices them, so the result does not depend on the number of workers. Where no candidate
meets every requirement, a second pass finds the one that misses them least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import Asked, Bounds
from dagc.search.candidate import Candidate, ServicePlan, Shape
from dagc.search.families import Families, Refusal
from dagc.search.found import Entry, Found, Tally
from dagc.search.front import Front
from dagc.search.needs import Needs
from dagc.search.pairs import Means, Pairs
from dagc.search.space import Space
from dagc.search.spelling import spell
from dagc.search.table import Table, vector_of
from dagc.search.verdict import OBJECTIVES, Vector, Verdict

ROUND = 64
"""Candidates of a round."""

MOST_PAIRS = 500_000
"""Pairs of services past which an exhaustive search does not begin: it makes each of them."""

Named = tuple[str, int]
"""A strategy's text and a batch."""

LeastOf = dict[Phase, Picoseconds]
"""Least times of one cut, by phase."""


@dataclass(frozen=True)
class TooMany(Exception):
    """There are more pairs of services than an exhaustive search makes."""

    number: int


@dataclass(frozen=True, slots=True)
class Labour:
    """What is done elsewhere: strategies priced, and least times found, both in the order that was asked for."""

    price: Callable[[Sequence[Named]], list[Verdict]]
    least: Callable[[Sequence[Asked]], list[LeastOf]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched, and how candidates are judged before they are priced.

    `refusal` is of the rules on degrees; `weigh` gives the share of a device that weights and reserve take on the
    fullest GPU, `share` the one that all takes which one service of a pair holds. With `is_exhaustive` nothing is left
    to bounds on times, and all that fits by weights is priced.
    """

    facts: Facts
    space: Space
    refusal: Refusal
    weigh: Callable[[Candidate], float]
    share: Callable[[ServicePlan, int], float]
    is_exhaustive: bool = False


Tell = Callable[[str, int, int], None]
"""Takes what is being done, and how many strategies are decided of how many."""


def _silent(_what: str, _decided: int, _generated: int) -> None:
    return


class Search:
    """A search in progress. `run` may be interrupted between rounds: `found` then has what is known."""

    def __init__(self, problem: Problem, labour: Labour, most: int | None = None, tell: Tell = _silent) -> None:
        self._problem, self._labour, self._most, self._tell = problem, labour, most, tell
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

    def run(self) -> Found:
        """Decide every candidate, or as many as may be priced."""
        hopeful, hopeless = self._tables()
        pairs = self._pair_searches()
        is_done = self._rounds(hopeful, self._close_dominated) and self._pair_rounds(pairs, Pairs.round)
        if is_done and not self._front.vectors:
            is_done = self._rounds(hopeless, self._close_misses) and self._pair_rounds(pairs, Pairs.nearest_round)
        elif is_done:
            self.tally.missed.update(hopeless.names)
        for one in pairs if is_done else ():
            one.finish()
        self._is_complete = is_done
        return self.found

    # What there is to price

    def _tables(self) -> tuple[Table, Table]:
        """Candidates that may meet every requirement, and those that miss one whatever their schedule."""
        self._tell("generating strategies", 0, 0)
        candidates = list(self._fitting())
        whole = self._bounded(candidates)
        misses = whole.misses > 0
        hopeful, hopeless = whole.taken(np.flatnonzero(~misses)), whole.taken(np.flatnonzero(misses))
        return hopeful.by_promise(), hopeless.taken(np.argsort(hopeless.misses, kind="stable"))

    def _fitting(self) -> Iterator[Candidate]:
        """Every candidate that no rule refuses for a degree and whose weights fit."""
        space, tally = self._problem.space, self.tally
        for batch in space.batches:
            families = Families(space, self._problem.refusal, batch)
            for shape in families.shapes():
                share = self._problem.weigh(_alone(shape, batch))
                if share > 1:
                    tally.memory += families.members(shape)
                    self._least_memory = min(share, self._least_memory or share)
                    continue
                for options in space.options(shape, Phase.BOTH, batch):
                    yield Candidate((ServicePlan(shape, options),), batch)
            tally.refused += families.refused
            tally.generated += families.generated
            if "phase-pools" in space.over and self._problem.is_exhaustive:
                yield from self._pairs(batch)

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
        families = Families(replace(space, gpus=space.gpus - 1), self._problem.refusal, batch, phase)
        fitting = [shape for shape in families.shapes() if self._problem.weigh(_alone(shape, batch)) <= 1]
        return [ServicePlan(one, options, phase) for one in fitting for options in space.options(one, phase, batch)]

    def _bounded(self, candidates: Sequence[Candidate]) -> Table:
        rows, count = np.zeros((len(candidates), len(OBJECTIVES))), len(candidates)
        misses, names = np.zeros(count), [""] * count
        if self._problem.is_exhaustive:
            return Table(candidates, rows, misses, names)
        facts = self._problem.facts
        known: dict[Asked, LeastOf] = {}
        bounds = Bounds(facts, lambda asked, phase: known[asked][phase])
        self._learn((one for candidate in candidates for one in bounds.asked(candidate)), known)
        needs, price = Needs(facts.requirements, facts.workload), facts.cluster.usd_per_gpu_second
        for i, candidate in enumerate(candidates):
            bound = bounds.of(candidate)
            rows[i] = vector_of(bound, candidate.gpus, price)
            missed = needs.missed(bound, candidate.gpus)
            if missed is not None:
                misses[i], names[i] = missed.miss, facts.requirements[missed.index].name
        return Table(candidates, rows, misses, names)

    def _learn(self, needed: Iterable[Asked], known: dict[Asked, LeastOf]) -> None:
        """The least times that bounds need, and that are not known yet."""
        asked = [one for one in dict.fromkeys(needed) if one not in known]
        for start in range(0, len(asked), ROUND):
            piece = asked[start : start + ROUND]
            known.update(zip(piece, self._labour.least(piece), strict=True))
            self._tell(f"bounding, {start + len(piece):,} of {len(asked):,} layers", *self._progress)

    def _pair_searches(self) -> list[Pairs]:
        """A search of pairs for each batch; none where all candidates were made."""
        space = self._problem.space
        if "phase-pools" not in space.over or self._problem.is_exhaustive:
            return []
        known: dict[Asked, LeastOf] = {}
        means = Means(
            facts=self._problem.facts,
            bounds=Bounds(self._problem.facts, lambda asked, phase: known[asked][phase]),
            judge=self._judge,
            learn=lambda asked: self._learn(asked, known),
            share=self._problem.share,
            front=self._front,
            tally=self.tally,
            nearest_miss=lambda: self._nearest.verdict.miss if self._nearest else None,
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
                self._tell("pricing pairs", *self._progress)
                if self._most is not None and self.tally.priced + self.tally.over >= self._most:
                    return False
        return True

    def _rounds(self, table: Table, close: Callable[[Table, _Mask], None]) -> bool:
        """Whether all candidates were decided; False where the limit came first."""
        is_open = np.ones(len(table.candidates), dtype=np.bool_)
        close(table, is_open)
        while is_open.any():
            spent = self.tally.priced + self.tally.over
            if self._most is not None and spent >= self._most:
                return False
            self._tell("pricing", *self._progress)
            chosen = np.flatnonzero(is_open)[: ROUND if self._most is None else min(ROUND, self._most - spent)]
            rows: list[int] = chosen.tolist()
            self._judge([table.candidates[i] for i in rows])
            is_open[chosen] = False
            close(table, is_open)
        return True

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
            self._place(entry)

    def _place(self, entry: Entry) -> None:
        missing = [one for one in entry.verdict.requirements if one.miss != 0]
        if missing:
            self.tally.priced_missing[missing[0].name] += 1
            if self._nearest is None or _nearness(entry) < _nearness(self._nearest):
                self._nearest = entry
            return
        vector = entry.verdict.vector
        known = self._entries.get(vector)
        if known is None or entry.rank < known.rank:
            self._entries[vector] = entry
        self._front.add(vector)

    # What need not be priced

    def _close_dominated(self, table: Table, is_open: _Mask) -> None:
        """Close what the front dominates already."""
        if self._problem.is_exhaustive:
            return
        left = np.flatnonzero(is_open)
        fallen = left[self._front.dominated(table.bounds[left])]
        is_open[fallen] = False
        self.tally.dominated += len(fallen)

    def _close_misses(self, table: Table, is_open: _Mask) -> None:
        """Close what misses a requirement by more than the nearest candidate misses any."""
        if self._nearest is None:
            return
        fallen = np.flatnonzero(is_open & (table.misses > self._nearest.verdict.miss))
        is_open[fallen] = False
        rows: list[int] = fallen.tolist()
        self.tally.missed.update(table.names[i] for i in rows)


_Mask = npt.NDArray[np.bool_]


def _nearness(entry: Entry) -> tuple[float, tuple[float | str | int, ...]]:
    return entry.verdict.miss, entry.rank


def _alone(shape: Shape, batch: int) -> Candidate:
    """The plain member of a shape."""
    return Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch)
