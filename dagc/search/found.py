"""What a search has decided, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dagc.search.verdict import Vector, Verdict


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate that was priced: its text, its batch, and what was found."""

    strategy: str
    batch: int
    verdict: Verdict

    @property
    def rank(self) -> tuple[float, float, float, float, int, str, int]:
        """Less is recommended first: GPU-seconds of an output token, then GPUs, TPOT, TTFT, and the shorter text."""
        gpus, ttft, tpot, throughput, _ = self.verdict.vector
        each = gpus / -throughput if throughput else float("inf")
        return each, gpus, tpot, ttft, len(self.strategy), self.strategy, self.batch


@dataclass(slots=True)
class Tally:
    """How many strategies fell to what. Those decided sum to `generated` when a search is complete.

    `refused` is by code of a rule; `missed` and `priced_missing` by requirement, as its bound tells or its price.
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


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far.

    `front` is in the order of recommendation, of candidates that meet every requirement; `nearest` is the candidate
    that misses them least where none meets all. `least_memory` is the smallest share of a device that weights took
    where nothing fits. `is_complete` is False where it was stopped or limited.
    """

    tally: Tally
    front: tuple[Entry, ...]
    nearest: Entry | None
    least_memory: float | None
    is_complete: bool

    @property
    def best(self) -> Entry | None:
        """What is recommended."""
        return self.front[0] if self.front else None

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The objectives of the front."""
        return tuple(entry.verdict.vector for entry in self.front)
