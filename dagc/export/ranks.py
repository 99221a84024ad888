"""Which ranks an export shows: those that `--ranks` names.

Turns `all`, `0-7`, `3,5` or `0-3,8` into ranges; it does not know how many ranks a plan has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.plan.layout import Ranks

_PART = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class RankSelection:
    """Ranges of global ranks, both ends included; empty for all ranks."""

    ranges: tuple[tuple[int, int], ...] = ()

    def holds(self, ranks: Ranks | npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which of these ranks are selected, by rank."""
        if not self.ranges:
            return np.ones(ranks.shape, dtype=np.bool_)
        inside = [(ranks >= first) & (ranks <= last) for first, last in self.ranges]
        return np.logical_or.reduce(inside)

    def of(self, gpus: int) -> Iterator[int]:
        """The selected ones of so many ranks, in order."""
        ranks = np.arange(gpus, dtype=np.int64)
        yield from ranks[self.holds(ranks)].tolist()

    @property
    def last(self) -> int | None:
        """The largest rank named, None for all."""
        return max((last for _, last in self.ranges), default=None)


def parse_ranks(text: str) -> RankSelection | None:
    """The selection that a text names, None where it is none."""
    if text.strip() == "all":
        return RankSelection()
    found = [_PART.fullmatch(part.strip()) for part in text.split(",")]
    ranges = [(int(match[1]), int(match[2] or match[1])) for match in found if match]
    if len(ranges) < len(found) or any(last < first for first, last in ranges):
        return None
    return RankSelection(tuple(ranges))
