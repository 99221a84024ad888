"""What a search has decided: the best strategies so far, and how many candidates fell to what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dagc.search.budget import Budget
from dagc.search.candidate import Candidate, spell
from dagc.search.front import Front
from dagc.search.verdict import StrategyVerdict, Vector

Named = tuple[str, int]
"""A strategy's text and a batch."""


@dataclass(frozen=True, slots=True)
class PricedStrategy:
    """A candidate that was priced: its text, its batch, and what was found."""

    strategy: str
    batch: int
    verdict: StrategyVerdict

    @property
    def rank(self) -> tuple[float, float, float, float, int, str, int]:
        """Less is recommended first: GPU-seconds of an output token, then GPUs, TPOT, TTFT, and the shorter text."""
        gpus, ttft, tpot, throughput, _ = self.verdict.vector
        each = gpus / -throughput if throughput else float("inf")
        return each, gpus, tpot, ttft, len(self.strategy), self.strategy, self.batch


@dataclass(slots=True)
class Tally:
    """How many strategies fell to what. Those decided sum to `generated` when a search is complete.

    `refused` is by code of a rule; `missed` and `priced_missing` by requirement: by its bound, or by its price.
    `memory` fell to the weights alone, `over` to all that a GPU holds; `dominated` to the bound on their times.
    """

    generated: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    memory: int = 0
    over: int = 0
    missed: Counter[str] = field(default_factory=Counter[str])
    dominated: int = 0
    priced: int = 0
    priced_missing: Counter[str] = field(default_factory=Counter[str])

    @property
    def decided(self) -> int:
        """Strategies of which it is known whether they are on the front."""
        pruned = self.refused.total() + self.memory + self.over + self.missed.total() + self.dominated
        return pruned + self.priced


@dataclass(slots=True)
class Incumbents:
    """The front so far, the candidate that misses the requirements least, and the tally.

    `price` gives the verdicts on strategies, as many as `budget` has room for. `smallest_memory` is the
    smallest share of a device that a candidate took which does not fit. `is_complete` once every candidate is decided.
    """

    price: Callable[[Sequence[Named]], list[StrategyVerdict]]
    budget: Budget = field(default_factory=Budget)
    front: Front = field(default_factory=Front)
    nearest: PricedStrategy | None = None
    tally: Tally = field(default_factory=Tally)
    smallest_memory: float | None = None
    is_complete: bool = False
    _entries: dict[Vector, PricedStrategy] = field(default_factory=dict["Vector", PricedStrategy])

    def ranked(self, score: Callable[[StrategyVerdict], float]) -> list[PricedStrategy]:
        """The front in the order of recommendation, the least score first; all meet every requirement."""
        found = (self._entries[vector] for vector in self.front.vectors)
        return sorted(found, key=lambda entry: (score(entry.verdict), entry.rank))

    def admit(self, entries: Iterable[PricedStrategy], gpus: range) -> None:
        """Compare strategies that are priced already with all others. They may lie outside of the space, but for their
        number of GPUs.
        """
        for entry in entries:
            verdict = entry.verdict
            if verdict.code is None and not verdict.is_over and int(verdict.vector[0]) in gpus:
                self._place(entry)

    def judge(self, candidates: Sequence[Candidate]) -> None:
        """Price candidates and compare them with all others."""
        named = [(spell(one), one.batch) for one in candidates]
        for (text, batch), verdict in zip(named, self.price(named), strict=True):
            if verdict.is_over:
                self.tally.over += 1
                self.note_memory(verdict.memory_share or 0.0)
            elif verdict.code is not None:
                self.tally.refused[verdict.code] += 1
            else:
                self.tally.priced += 1
                missed = self._place(PricedStrategy(text, batch, verdict))
                self.tally.priced_missing.update([missed] if missed else [])

    def complete(self, whole: Callable[[Sequence[PricedStrategy]], list[PricedStrategy]]) -> None:
        """Take verdicts with all figures for what a result shows; those of a search have the objectives alone."""
        vectors = self.front.vectors
        self._entries.update(zip(vectors, whole([self._entries[vector] for vector in vectors]), strict=True))
        if self.nearest and not self.front.vectors:
            (self.nearest,) = whole([self.nearest])

    def note_memory(self, share: float) -> None:
        """Note the share of a device that a candidate would take which does not fit."""
        self.smallest_memory = min(share, self.smallest_memory or share)

    def _place(self, entry: PricedStrategy) -> str | None:
        """Put a strategy on the front, where it belongs there; returns the first requirement that it misses."""
        missing = [one for one in entry.verdict.requirements if one.is_missed]
        if missing:
            if self.nearest is None or _nearness(entry) < _nearness(self.nearest):
                self.nearest = entry
            return missing[0].name
        vector = entry.verdict.vector
        known = self._entries.get(vector)
        if known is None or entry.rank < known.rank:
            self._entries[vector] = entry
        self.front.add(vector)
        return None


def _nearness(entry: PricedStrategy) -> tuple[float, tuple[float | str | int, ...]]:
    return entry.verdict.miss, entry.rank
