"""Services of one phase in the order of their seconds, which are worked out no further than they are asked for.

What is known of a service at first is a bound. The order of a line is settled from its front: a service takes its place
once it is known that none behind it can be faster. So who reads a line place by place reads rising seconds, and the
services behind the last place that was read keep the cheap bound that they came with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heapify, heappop, heapreplace

from dagc.search.candidate import ServicePlan


class Level(IntEnum):
    """How far the seconds of a service are known: by the first bound, by its least times, or as far as they will be."""

    FIRST = 0
    LEAST = 1
    FINAL = 2


@dataclass(slots=True, eq=False)
class Half:
    """One service of a pair, with the seconds of its phase or a bound on them: TTFT of a prefill, TPOT of a decode.

    `is_weighed` is whether it is known to fit.
    """

    service: ServicePlan
    seconds: float
    level: Level = Level.FIRST
    is_weighed: bool = False


@dataclass(slots=True, eq=False)
class Line:
    """Services that take the same GPUs, and, of a decode, begin alike on their node; `left` of them are in the line."""

    settled: list[Half] = field(default_factory=list[Half])
    _waiting: list[tuple[float, int, Half]] = field(default_factory=list[tuple[float, int, Half]])

    @classmethod
    def of(cls, halves: Iterable[Half]) -> Line:
        """A line of which no place is settled."""
        waiting = [(half.seconds, number, half) for number, half in enumerate(halves)]
        heapify(waiting)
        return cls(_waiting=waiting)

    @property
    def left(self) -> int:
        """Services in the line."""
        return len(self.settled) + len(self._waiting)

    def at(self, place: int) -> Half | None:
        """Who stands there, or, at the first place that is not settled, who may; None past the end.

        Places are asked for in order: none beyond the first that is not settled.
        """
        if place < len(self.settled):
            return self.settled[place]
        return self._waiting[0][2] if self._waiting else None

    def learn(self, half: Half, seconds: float, level: Level) -> None:
        """Note what was worked out of the first that waits; a bound that is lower than the one before adds nothing."""
        if not self._waiting or self._waiting[0][2] is not half:
            return
        half.seconds, half.level = max(seconds, half.seconds), level
        heapreplace(self._waiting, (half.seconds, self._waiting[0][1], half))
        while self._waiting and self._waiting[0][2].level is Level.FINAL:
            self.settled.append(heappop(self._waiting)[2])

    def drop(self, half: Half) -> None:
        """Take the first that waits out of the line."""
        if self._waiting and self._waiting[0][2] is half:
            heappop(self._waiting)
        while self._waiting and self._waiting[0][2].level is Level.FINAL:
            self.settled.append(heappop(self._waiting)[2])
