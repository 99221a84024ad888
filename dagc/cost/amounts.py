"""Figures of ranks, or of groups of them, of which few differ: each amount is priced once.

An amount is what a formula is asked of one rank or group. Where a team's ranks differ it is mostly in that some have
one sequence more, so that there are two amounts, and other plans have the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.cost.rows import WIDE
from dagc.graph.priced import NodeCost, Picoseconds
from dagc.plan.layout import Ranks

Amount = tuple[float, ...]
Figures = npt.NDArray[np.float64]


class Priced(NamedTuple):
    """The cost of some work, and the seconds that it takes where it takes longest."""

    cost: NodeCost
    seconds: float


class Partition(NamedTuple):
    """Which ranks are alike: of each class the first rank, classes in their order, and the class of each rank."""

    first: Ranks
    classes: Ranks

    def holds(self, load: Figures) -> bool:
        """Whether ranks of a class have the same load."""
        return load.size == 1 or load.take(self.first).take(self.classes).tobytes() == load.tobytes()


class Amounts(NamedTuple):
    """The amount of each class of ranks; there is one class where `partition` is None."""

    each: list[Amount]
    partition: Partition | None = None


def amounts_of(loads: Sequence[Figures], met: list[Partition]) -> Amounts | None:
    """The amounts of ranks that have these loads; None of wide loads and of loads by copy.

    `met` are partitions of loads that were asked about before, and may hold for these.
    """
    width = max([load.size for load in loads])
    if width > WIDE or any(load.ndim > 1 for load in loads):
        return None
    if width == 1:
        return Amounts([tuple([load.item() for load in loads])])
    partition = next((one for one in met if one.classes.size == width and all(one.holds(load) for load in loads)), None)
    if partition is None:
        partition = _partition([load.tolist() for load in loads if load.size > 1])
        met.append(partition)
    number = partition.first.size
    columns = [load.take(partition.first).tolist() if load.size > 1 else [load.item()] * number for load in loads]
    return Amounts(list(zip(*columns, strict=True)), partition)


def _partition(columns: list[list[float]]) -> Partition:
    """The fewest classes in which these figures are the same."""
    told = list(zip(*columns, strict=True))
    number = {one: i for i, one in enumerate(dict.fromkeys(told))}
    return Partition(np.array([told.index(one) for one in number]), np.array([number[one] for one in told]))


def cost_by_amount(amounts: Amounts, known: Mapping[Amount, Priced]) -> NodeCost:
    """The cost of a node from those of its amounts: that of the slowest, the first of equals, at every rank."""
    each = [known[amount] for amount in amounts.each]
    slowest = max(each, key=attrgetter("seconds")).cost
    times = [found.cost.duration.item() for found in each]
    if amounts.partition is None or times.count(times[0]) == len(times):
        return slowest
    duration: Picoseconds = np.array(times, dtype=np.int64).take(amounts.partition.classes)
    rest = slowest.error, slowest.extrapolated, slowest.by_traffic
    return NodeCost(duration, slowest.bound, slowest.wording, slowest.source, *rest)
