"""The graph with a cost on every node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from dagc.graph.graph import PhaseGraph

Picoseconds = npt.NDArray[np.int64]
"""Time by rank in integer picoseconds, shape (1,) where all ranks are alike, else (width,).

A duration that differs between the copies of a segment has shape (copies, 1) or (copies, width), as a `Load` has.
"""

PICOSECONDS = 1_000_000_000_000
"""Picoseconds in a second."""


def are_alike(durations: Picoseconds, some: Picoseconds) -> bool:
    """Whether durations are all like some, which broadcast to them. Where not, often the last already differs."""
    return durations.item(-1) == some.item(-1) and bool((durations == some).all())


class Bound(StrEnum):
    """What a node's duration is limited by.

    `latency`: of a message, more than half of its time; of an operator, its launch takes more than half of its time, or
    it has so little work that arithmetic, its longest part, reaches less than a tenth of the device's peak.
    """

    COMPUTE = "compute"
    MEMORY = "memory"
    NETWORK = "network"
    LATENCY = "latency"
    NONE = "none"


@dataclass(frozen=True, eq=False)
class NodeCost:
    """Duration by rank, and by copy where copies differ; what bounds the slowest; where the number comes from.

    `wording` puts the arithmetic into words when someone asks, `source` is the origin of its coefficients (datasheet,
    fitted, given). `error` is the relative error to expect of the duration, the median one of its formula on
    measurements; None where nothing is known of it. `extrapolated`: the slowest rank's lies outside of what was fitted.
    `by_traffic`: memory traffic takes longer than arithmetic, whatever else the operator waits for.
    """

    duration: Picoseconds
    bound: Bound
    wording: Callable[[], str]
    source: str
    error: float | None = None
    extrapolated: bool = False
    by_traffic: bool = False

    @cached_property
    def longest(self) -> int:
        """Duration of the slowest rank in the longest copy; 0 where there are no ranks."""
        return int(self.duration.max(initial=0))

    @property
    def formula(self) -> str:
        """The arithmetic in words."""
        return self.wording()


Costs = tuple[NodeCost, ...]
"""The cost of each node of a template."""


@lru_cache(maxsize=4_096)
def serial_time(costs: Costs) -> float:
    """Picoseconds of a copy of a template on the slowest ranks, one node after the other.

    Kept, because many phases have a template in common.
    """
    return sum(float(cost.longest) for cost in costs)


@dataclass(frozen=True, slots=True, eq=False)
class PricedPhase:
    """A phase and the cost of each node: `costs[template][node]`."""

    graph: PhaseGraph
    costs: tuple[Costs, ...]
