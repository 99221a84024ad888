"""The search itself: rounds of candidates are priced until none is left that could be on the front.

A round takes the next candidates of the table, and what it finds closes further ones before the next round begins.
Rounds have a fixed size whoever prices them, so the result does not depend on the number of workers. Where no candidate
meets every requirement, a second pass finds the one that misses them least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from dagc.plan.deployment import Options
from dagc.plan.plan import Facts
from dagc.search.blocks import Block, Table, members, table
from dagc.search.bounds import Bound, Bounds
from dagc.search.candidate import Candidate, ServicePlan, Shape
from dagc.search.families import Families, Refusal
from dagc.search.found import Entry, Found, Tally
from dagc.search.front import Front
from dagc.search.needs import Needs
from dagc.search.space import Space
from dagc.search.spelling import spell
from dagc.search.verdict import Vector, Verdict

ROUND = 256
"""Candidates of a round."""

Asked = tuple[str, int]
"""A strategy's text and a batch."""

Price = Callable[[Sequence[Asked]], list[Verdict]]
"""Prices strategies; verdicts in their order."""

Weigh = Callable[[Candidate], float]
"""The share of a device that the weights of the fullest GPU take, and what is reserved."""

Tell = Callable[[Tally], None]
"""Takes what is decided, after each round."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched, and how candidates are judged. With `is_exhaustive` nothing is left to bounds on times."""

    facts: Facts
    space: Space
    refusal: Refusal
    weigh: Weigh
    is_exhaustive: bool = False


class Search:
    """A search in progress. `run` may be interrupted between rounds: `found` then has what is known."""

    def __init__(self, problem: Problem, price: Price, most: int | None = None, tell: Tell = lambda _: None) -> None:
        self._problem, self._price, self._most, self._tell = problem, price, most, tell
        self._needs = Needs(problem.facts.requirements, problem.facts.workload)
        self._bounds = Bounds(problem.facts)
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
        is_done = self._rounds(hopeful, self._closing)
        if is_done and not self._front.vectors:
            is_done = self._rounds(hopeless, self._closing_misses)
        elif is_done:
            self._close_all(hopeless)
        self._is_complete = is_done
        return self.found

    # What there is to price

    def _tables(self) -> tuple[Table, _Missing]:
        """Blocks that may meet every requirement, and those that miss one whatever their schedule."""
        kept: list[tuple[Block, Bound, int]] = []
        missing: list[tuple[Block, Bound, int, float, str]] = []
        for block, size in self._blocks():
            bound = self._bounds.of(block.loosest(self._problem.space))
            missed = None if self._problem.is_exhaustive else self._needs.missed(bound, block.shape.gpus)
            if missed is None:
                kept.append((block, bound, size))
            else:
                missing.append((block, bound, size, missed.miss, self._problem.facts.requirements[missed.index].name))
        missing.sort(key=lambda one: one[3])
        price = self._problem.facts.cluster.usd_per_gpu_second
        hopeful = table([b for b, _, _ in kept], [one for _, one, _ in kept], [n for _, _, n in kept], price)
        return hopeful, _Missing([b for b, *_ in missing], [n for _, _, n, *_ in missing],
                                 np.array([one[3] for one in missing]), [one[4] for one in missing])  # fmt: skip

    def _blocks(self) -> Iterator[tuple[Block, int]]:
        space, tally = self._problem.space, self.tally
        for batch in space.batches:
            families = Families(space, self._problem.refusal, batch)
            for shape in families.shapes():
                size, share = families.members(shape), self._problem.weigh(_alone(shape, batch))
                if share > 1:
                    tally.memory += size
                    self._least_memory = min(share, self._least_memory or share)
                    continue
                micro = space.micro_batches(shape.stages, shape.replicas, batch)
                for one in micro:
                    yield Block(shape, one, batch), size // len(micro)
            tally.refused += families.refused
            tally.generated += families.generated

    # Rounds

    def _rounds(self, blocks: Table | _Missing, close: Callable[..., None]) -> bool:
        """Whether all blocks were decided; False where the limit came first."""
        is_open = np.ones(len(blocks.blocks), dtype=bool)
        close(blocks, is_open)
        self._tell(self.tally)
        while is_open.any():
            chosen = _next(blocks, is_open)
            room = None if self._most is None else self._most - self.tally.priced - self.tally.over
            if room is not None and room <= 0:
                return False
            asked = [one for i in chosen for one in members(blocks.blocks[i], self._problem.space)]
            self._judge(asked)
            is_open[chosen] = False
            close(blocks, is_open)
            self._tell(self.tally)
        return True

    def _judge(self, candidates: Sequence[Candidate]) -> None:
        asked = [(spell(one), one.batch) for one in candidates]
        for (text, batch), verdict in zip(asked, self._price(asked), strict=True):
            self._take(Entry(text, batch, verdict))

    def _take(self, entry: Entry) -> None:
        verdict, tally = entry.verdict, self.tally
        if verdict.code == "M101":
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

    def _closing(self, blocks: Table, is_open: _Mask) -> None:
        """Close what the front dominates already."""
        if self._problem.is_exhaustive:
            return
        left = np.flatnonzero(is_open)
        fallen = left[self._front.dominated(blocks.bounds[left])]
        is_open[fallen] = False
        self.tally.dominated += int(blocks.sizes[fallen].sum())

    def _closing_misses(self, blocks: _Missing, is_open: _Mask) -> None:
        """Close what misses a requirement by more than the nearest candidate does all."""
        if self._nearest is None:
            return
        fallen = np.flatnonzero(is_open & (blocks.misses > self._nearest.verdict.miss))
        is_open[fallen] = False
        for i in fallen:
            self.tally.missed[blocks.names[i]] += blocks.sizes[i]

    def _close_all(self, blocks: _Missing) -> None:
        for name, size in zip(blocks.names, blocks.sizes, strict=True):
            self.tally.missed[name] += size


_Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class _Missing:
    """Blocks that miss a requirement, by how far off they are at least, and the name of what they miss."""

    blocks: Sequence[Block]
    sizes: Sequence[int]
    misses: np.ndarray[tuple[int], np.dtype[np.float64]]
    names: Sequence[str]


def _next(blocks: Table | _Missing, is_open: _Mask) -> list[int]:
    """The next blocks, of a round's candidates or a few more."""
    chosen: list[int] = []
    room = ROUND
    for i in islice(np.flatnonzero(is_open), ROUND):
        if room <= 0:
            break
        chosen.append(int(i))
        room -= int(blocks.sizes[i])
    return chosen


def _nearness(entry: Entry) -> tuple[float, tuple[float | str | int, ...]]:
    return entry.verdict.miss, entry.rank


def _alone(shape: Shape, batch: int) -> Candidate:
    """The plain member of a shape."""
    return Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch)
