"""Figures of several nodes one below the other, so that a formula is asked once for all of them.

A node takes one row, or one for each copy where copies differ; columns are ranks or groups. A formula gives every
element what it would give it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from dagc.cost.duration import narrowed, whole_picoseconds
from dagc.graph.priced import Picoseconds
from dagc.ops.load import WIDE

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
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

    def slowest(self, seconds: Figures) -> Places:
        """Where each node takes longest."""
        if not self.has_copies:
            return Places(np.arange(len(seconds)), seconds.argmax(axis=1))
        flat = [int(seconds[self.of(number)].argmax()) for number in range(len(self.ends))]
        rows, columns = np.divmod(np.array(flat), seconds.shape[1])
        return Places(rows + np.array((0, *self.ends[:-1])), columns)

    def durations(self, seconds: Figures) -> list[Picoseconds]:
        """Picoseconds of each node, of the least shape that holds them."""
        whole = whole_picoseconds(seconds)
        if self.has_copies:
            return [narrowed(whole[self.of(number)]) for number in range(len(self.ends))]
        alike = (whole == whole[:, :1]).all(axis=1).tolist()
        return [row[:1] if same else row for row, same in zip(whole, alike, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
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


def rows_of(loads: Sequence[tuple[Figures, ...]]) -> Rows:
    """The rows of nodes that have these loads."""
    copies = [max([load.shape[0] for load in each if load.ndim > 1], default=0) for each in loads]
    if not any(copies):
        return Rows(tuple(range(1, len(loads) + 1)), False)
    return Rows(tuple(accumulate([max(1, number) for number in copies])), True)


def columns_of(*loads: Figures) -> int:
    """Equal for loads that can stand below each other: those that are not wide, and those that are as wide."""
    columns = max([load.shape[-1] for load in loads])
    return columns if columns > WIDE else 1
