"""Figures by rank on their way through a formula, and seconds on their way to integer picoseconds.

Of the ranks of a node, or of its groups, few differ: each amount is priced once. An amount is what a formula is asked
of one rank or group; where a team's ranks differ it is mostly in that some have one sequence more, so that there are
two amounts, and other plans have the same. Amounts of several nodes are priced one below the other, so that a formula
is asked once for all of them: a node takes one row, or one for each copy where copies differ; columns are ranks or
groups. A formula gives every element what it would give it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from math import isinf
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import PICOSECONDS, Bound, NodeCost, Picoseconds, are_alike
from dagc.ops.load import WIDE
from dagc.plan.layout import Ranks
from dagc.units import format_rate

FREE = NodeCost(np.zeros(1, dtype=np.int64), Bound.NONE, partial(str, 0), "no work of its own")
"""A node that takes no time."""


LONGEST = 2**62
"""Picoseconds that a duration is cut off at, 53 days: sums of such are not scheduled (`dagc.cost.overflow`)."""


def whole_picoseconds(seconds: npt.NDArray[np.float64]) -> Picoseconds:
    """The nearest whole picoseconds."""
    whole = np.asarray(seconds * PICOSECONDS)
    np.minimum(whole, LONGEST, out=whole)
    return np.rint(whole, out=whole).astype(np.int64)


def narrowed(whole: Picoseconds) -> Picoseconds:
    """The same by copy and rank, of width 1 where all ranks have the same, and without copies where these have."""
    if whole.shape[0] > 1 and are_alike(whole, whole[:1]):
        whole = whole[:1]
    if whole.shape[1] > 1 and are_alike(whole, whole[:, :1]):
        whole = whole[:, :1]
    return whole[0] if whole.shape[0] == 1 else whole


@lru_cache(maxsize=256)
def rate_text(rate: float, unit: str) -> str:
    """A rate for people; one that nobody stated limits nothing. Kept, because a cluster has few of them."""
    return f"unstated {unit}" if isinf(rate) else format_rate(rate, unit)


def adjustment(factor: float) -> str:
    """What is said of a factor of serving runs beside the source of a formula."""
    return f"{factor:.3g} times as long, fitted to serving runs"


Amount = tuple[float, ...]


class PricedAmount(NamedTuple):
    """The cost of some work, and the seconds that it takes where it takes longest."""

    cost: NodeCost
    seconds: float


AmountCache = dict[object, dict[Amount, PricedAmount]]
"""What amounts take, by a key of all else that their price depends on; of one cluster, type of activations and engine.

Of work an amount is how many times as long as stated it takes, FLOPs, bytes and other inputs; of a collective, nodes of
a group, members in the fullest of these, and bytes.
"""


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


def amounts_of(loads: Sequence[Figures], partitions: list[Partition]) -> Amounts | None:
    """The amounts of ranks that have these loads; None of wide loads and of loads by copy.

    `partitions` are partitions of loads that were asked about before, and may hold for these.
    """
    width = max([load.size for load in loads])
    if width > WIDE or any(load.ndim > 1 for load in loads):
        return None
    if width == 1:
        return Amounts([tuple([load.item() for load in loads])])
    partition = next(
        (one for one in partitions if one.classes.size == width and all(one.holds(load) for load in loads)), None
    )
    if partition is None:
        partition = _partition([load.tolist() for load in loads if load.size > 1])
        partitions.append(partition)
    number = partition.first.size
    columns = [load.take(partition.first).tolist() if load.size > 1 else [load.item()] * number for load in loads]
    return Amounts(list(zip(*columns, strict=True)), partition)


def _partition(columns: list[list[float]]) -> Partition:
    """The fewest classes in which these figures are the same."""
    amounts = list(zip(*columns, strict=True))
    number = {one: i for i, one in enumerate(dict.fromkeys(amounts))}
    return Partition(np.array([amounts.index(one) for one in number]), np.array([number[one] for one in amounts]))


def cost_by_amount(amounts: Amounts, known: Mapping[Amount, PricedAmount]) -> NodeCost:
    """The cost of a node from those of its amounts: that of the slowest, the first of equals, at every rank."""
    each = [known[amount] for amount in amounts.each]
    slowest = max(each, key=attrgetter("seconds")).cost
    times = [found.cost.duration.item() for found in each]
    if amounts.partition is None or times.count(times[0]) == len(times):
        return slowest
    duration: Picoseconds = np.array(times, dtype=np.int64).take(amounts.partition.classes)
    rest = slowest.error, slowest.extrapolated, slowest.by_traffic
    return NodeCost(duration, slowest.bound, slowest.wording, slowest.source, *rest)


Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AmountRows:
    """Which rows each node has, `ends[i]` being past the last one of node i. `has_copies`: some have more than one."""

    ends: tuple[int, ...]
    has_copies: bool

    def of(self, number: int) -> slice:
        """The rows of a node."""
        return slice(self.ends[number - 1] if number else 0, self.ends[number])

    def figures(self, loads: Sequence[Figures], columns: int) -> Figures:
        """Loads of the nodes, shape (rows, columns)."""
        found = np.empty((self.ends[-1], columns))
        for number, load in enumerate(loads):
            found[self.of(number)] = load
        return found

    def column(self, values: Sequence[float]) -> Figures:
        """A figure of each node, the same for its copies, shape (rows, 1)."""
        column = np.array(values, dtype=np.float64).reshape(-1, 1)
        return np.repeat(column, np.diff(self.ends, prepend=0), axis=0) if self.has_copies else column

    def slowest(self, seconds: Figures) -> NodeIndex:
        """Where each node takes longest."""
        if not self.has_copies:
            return NodeIndex(np.arange(len(seconds)), seconds.argmax(axis=1))
        flat = [int(seconds[self.of(number)].argmax()) for number in range(len(self.ends))]
        rows, columns = np.divmod(np.array(flat), seconds.shape[1])
        return NodeIndex(rows + np.array((0, *self.ends[:-1])), columns)

    def durations(self, seconds: Figures) -> list[Picoseconds]:
        """Picoseconds of each node, of the least shape that holds them."""
        whole = whole_picoseconds(seconds)
        if self.has_copies:
            return [narrowed(whole[self.of(number)]) for number in range(len(self.ends))]
        alike = (whole == whole[:, :1]).all(axis=1).tolist()
        return [row[:1] if same else row for row, same in zip(whole, alike, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class NodeIndex:
    """An element for each node: its row and its column."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    def of(self, values: Figures | float) -> list[float]:
        """These elements of what broadcasts to all rows and columns."""
        number = len(self.rows)
        if isinstance(values, int | float):
            return [float(values)] * number
        if values.size == 1:
            return [values.item()] * number
        if values.ndim == 1:
            return values[self.columns].tolist()
        if values.shape[1] == 1:
            return (values[:, 0] if len(values) == number else values[self.rows, 0]).tolist()
        return values[self.rows if values.shape[0] > 1 else 0, self.columns].tolist()


def rows_of(loads: Sequence[tuple[Figures, ...]]) -> AmountRows:
    """The rows of nodes that have these loads."""
    copies = [max([load.shape[0] for load in each if load.ndim > 1], default=0) for each in loads]
    if not any(copies):
        return AmountRows(tuple(range(1, len(loads) + 1)), False)
    return AmountRows(tuple(accumulate([max(1, number) for number in copies])), True)


def columns_of(*loads: Figures) -> int:
    """Equal for loads that can stand below each other: those that are not wide, and those that are as wide."""
    columns = max([load.shape[-1] for load in loads])
    return columns if columns > WIDE else 1
