"""Slices as tables of columns, some ten thousand at a time, whatever they show and however they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.export.titles import group_size, shape_text
from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost
from dagc.source import Span

MOST_LETTERS = 60
"""Of a place in the plan, as a slice names it."""


@dataclass(frozen=True, slots=True)
class SliceLabel:
    """Name and category of a slice, and arguments that do not differ between its executions, at least one."""

    name: str
    category: str
    arguments: tuple[tuple[str, str | int], ...]


@dataclass(slots=True)
class SliceLabels:
    """All labels so far, numbered from 0 in their order."""

    numbers: dict[SliceLabel, int] = field(default_factory=dict[SliceLabel, int])

    def number(self, label: SliceLabel) -> int:
        """The number of a label."""
        return self.numbers.setdefault(label, len(self.numbers))


def operator_label(node: Node, cost: NodeCost, category: str | None = None) -> SliceLabel:
    """The label of an operator: named for its key in the graph; `category` is that of the operator if not given."""
    shape = shape_text(node) or str(node.output)
    arguments: list[tuple[str, str | int]] = [
        ("operator", node.op.title), ("bound", cost.bound.value), ("shape", shape),
    ]  # fmt: skip
    if node.communication:
        arguments.append(("group_size", group_size(node)))
    if node.span is not None:
        arguments.append(("plan", span_text(node.span)))
    return SliceLabel(node.key, category or node.op.category.value, tuple(arguments))


def span_text(span: Span) -> str:
    """The place in the plan that an operator comes from: `8:24 ep 16`."""
    line, column = span.source.position(span.start)
    words = " ".join(span.text.split())
    return f"{line}:{column} {words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1] + '…'}"


TABLE = 50_000
"""Slices of a table; the last block that was added may bring more."""

Column = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]

NUMBERS = ("micro_batch", "step", "stage", "layer", "rank", "flops", "bytes")
"""Arguments of a slice that are numbers; none is below 0."""

ABSENT = -1
"""A number that a slice does not have."""

SLICE, BEGIN, OPEN_BEGIN, END, LATE_END = range(5)
"""Kinds of rows: a slice; the beginning of one around others whose end is in the same table, and of one whose end is
in a later one; and its end likewise. Both have its label and numbers, and its times as far as they are known.
"""

_ZERO = ("kind", "flow")
"""What is 0 where it is not given."""

COLUMNS = ("pid", "tid", "start", "end", "label", *_ZERO, *NUMBERS)


@dataclass(frozen=True, slots=True, eq=False)
class SliceTable:
    """Columns of equal length by name: those of `COLUMNS`, of which the last are `numbers`.

    `start` and `end` are in ns, `label` is a number of `SliceLabels`, `flow` the number of an arrow that begins at the
    slice, or less than 0 that of one that ends there; 0 where none does.
    """

    columns: Mapping[str, Column]
    numbers: tuple[str, ...] = NUMBERS

    def __getitem__(self, name: str) -> Column:
        """One column."""
        return self.columns[name]

    @property
    def size(self) -> int:
        """Slices."""
        return self["start"].size

    @property
    def named(self) -> tuple[str, ...]:
        """The numbers that some slice has."""
        return tuple(name for name in self.numbers if bool((self[name] != ABSENT).any()))

    @property
    def begins(self) -> _Mask:
        """Rows at which a slice begins."""
        return self["kind"] <= OPEN_BEGIN

    @property
    def ends(self) -> _Mask:
        """Rows at which a slice ends."""
        return (self["kind"] == SLICE) | (self["kind"] >= END)

    @property
    def whole(self) -> SliceTable:
        """One row for each slice that is known as a whole here, before those that it holds where they are here too."""
        there = np.isin(self["kind"], (SLICE, BEGIN, LATE_END))
        return self if bool(there.all()) else SliceTable({name: self[name][there] for name in COLUMNS})

    @property
    def firsts(self) -> Column:
        """Rows that differ from the row before in more than place and arrow, the first row among them.

        Ranks that do the same at the same time are together, so what a format says of them can be made once.
        """
        differ = np.zeros(self.size, dtype=np.bool_)
        differ[:1] = True
        for name in ("start", "end", "label", "kind", *self.named):
            differ[1:] |= self[name][1:] != self[name][:-1]
        return np.flatnonzero(differ)


@dataclass(slots=True)
class Gathered:
    """Blocks of slices that are not yet in a table."""

    size: int = 0
    blocks: list[Mapping[str, Column]] = field(default_factory=list[Mapping[str, Column]])

    def add(self, block: Mapping[str, Column]) -> Iterator[SliceTable]:
        """Keep a block; a table where there is enough for one."""
        self.blocks.append(block)
        self.size += block["start"].size
        if self.size >= TABLE:
            yield from self.rest()

    def rest(self) -> Iterator[SliceTable]:
        """A table of what is left."""
        if self.size:
            yield SliceTable(joined(self.blocks))
        self.size, self.blocks = 0, []


def block(start: Column, end: Column, **given: Column | int) -> Mapping[str, Column]:
    """Slices of which most figures are the same; what is not given is absent."""
    columns = {"start": start, "end": end}
    for name in COLUMNS[:2] + COLUMNS[4:]:
        value = given.get(name, 0 if name in _ZERO else ABSENT)
        columns[name] = value if isinstance(value, np.ndarray) else np.full(start.size, value, dtype=np.int64)
    return columns


def joined(blocks: Sequence[Mapping[str, Column]]) -> Mapping[str, Column]:
    """Blocks after each other."""
    return {name: np.concatenate([one[name] for one in blocks]) for name in COLUMNS}
