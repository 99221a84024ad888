"""A priced template, ready to run: its steps with durations and groups.

The duration of a step is the sum of those of its nodes, the start of each node is the step's start and an offset. Both
keep a row for each copy where copies differ, and a column for each rank only where ranks differ. It knows no times.

Packed, it is the tables that the kernel reads: 32-bit words whose pointers are not yet addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dagc.graph.graph import Node, Template
from dagc.graph.priced import Costs, NodeCost, Picoseconds, are_alike
from dagc.ops.communication import Communication
from dagc.plan.layout import Ranks
from dagc.schedule.structure import NONE, Step, Structure, Wait, reversed_structure_of, structure_of

Int32 = npt.NDArray[np.int32]

STEP_WORDS, TEMPLATE_WORDS, GROUP_WORDS = 11, 9, 3
"""Words of `Step`, `Template` and `Groups` in `kernel.c`."""

_WAITS, _LINKS, _DURATIONS, _GROUPS = 7, 8, 9, 10
"""Pointers of a step, as words."""

Occupied = dict[int, tuple[Picoseconds, Picoseconds]]
"""Time by lane: in each copy, of what takes as long in all of them, and in all copies together, of the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedStep:
    """A step, its duration and the start of each of its nodes after its own, and the groups that start together.

    `duration` and `offsets` have shape (copies or 1, width or 1). `groups` has shape (groups, size), None where a rank
    waits for no other.
    """

    step: Step
    duration: Picoseconds
    offsets: tuple[Picoseconds, ...]
    groups: Ranks | None


@dataclass(frozen=True, eq=False)
class TimedTemplate:
    """The steps of a priced template in order; `is_uniform` where no step takes longer on one rank than on another."""

    structure: Structure
    steps: tuple[TimedStep, ...]
    costs: Costs
    template: Template

    @cached_property
    def is_uniform(self) -> bool:
        """Whether all ranks take as long."""
        return all(step.duration.shape[1] == 1 for step in self.steps)

    @cached_property
    def packed(self) -> PackedTemplate:
        """The tables that the kernel reads."""
        return pack(self.structure, [one.duration for one in self.steps], [one.groups for one in self.steps])

    @cached_property
    def reversed(self) -> TimedTemplate:
        """The same with time reversed."""
        return timed(self.template, self.costs, reversed_structure_of(self.template))

    @cached_property
    def step_of(self) -> npt.NDArray[np.int64]:
        """The step of each node."""
        return np.array([step for step, _ in self.structure.places], dtype=np.int64)

    @cached_property
    def rows(self) -> list[list[list[int]]]:
        """Durations by step, copy (one where copies are alike) and rank (one where ranks are)."""
        return [one.duration.tolist() for one in self.steps]

    @cached_property
    def groups(self) -> list[list[list[int]]]:
        """The groups of each step that start together, none where ranks wait for no other."""
        return [[] if one.groups is None else one.groups.tolist() for one in self.steps]

    @cached_property
    def is_map(self) -> bool:
        """Whether all copies map times that they take to times that they leave, and do so alike."""
        structure = self.structure
        is_closed = not structure.sends and not structure.receives and all(structure.outs)
        return is_closed and all(len(one.duration) == 1 for one in self.steps)

    @cached_property
    def lane_steps(self) -> list[tuple[int, list[int]]]:
        """The steps of each lane that some step runs on, in order."""
        lanes = [one.step.lane for one in self.steps]
        return [(used, [number for number, lane in enumerate(lanes) if lane == used]) for used in self.structure.used]

    @cached_property
    def _alike(self) -> Picoseconds | None:
        """Durations of steps, shape (steps, 1), where neither copies nor ranks differ."""
        durations = [one.duration for one in self.steps]
        return np.concatenate(durations) if all(one.size == 1 for one in durations) else None

    def durations(self, steps: Sequence[int], rows: slice) -> Picoseconds:
        """Durations of steps in some copies, shape (copies or 1, steps, ranks or 1)."""
        if self._alike is not None:
            return self._alike[None, steps]
        return np.stack(np.broadcast_arrays(*[of_copies(self.steps[one].duration, rows) for one in steps]), axis=1)

    def offset(self, node: int, rows: slice) -> Picoseconds:
        """Start of a node after that of its step, in some copies, shape (copies or 1, width or 1)."""
        step, which = self.structure.places[node]
        return of_copies(self.steps[step].offsets[which], rows)

    def duration(self, node: int, rows: slice) -> Picoseconds:
        """Duration of a node in some copies, shape (copies or 1, width or 1)."""
        return of_copies(np.atleast_2d(self.costs[node].duration), rows)

    @cached_property
    def occupied(self) -> Occupied:
        """Time by lane that is occupied."""
        return self._occupied(memory_bound=False)

    @cached_property
    def memory_bound(self) -> Occupied:
        """The part of it in which the memory is the bound."""
        return self._occupied(memory_bound=True)

    def _occupied(self, memory_bound: bool) -> Occupied:
        nothing = np.zeros(1, dtype=np.int64)
        found: Occupied = dict.fromkeys(self.structure.used, (nothing, nothing))
        for node, cost in enumerate(self.costs):
            if memory_bound and not cost.by_traffic:
                continue
            lane = self.structure.steps[self.structure.places[node][0]].lane
            each, whole = found[lane]
            if cost.duration.ndim > 1:
                found[lane] = each, whole + cost.duration.sum(axis=0)
            else:
                found[lane] = each + cost.duration, whole
        return found


def timed(template: Template, costs: Costs, structure: Structure) -> TimedTemplate:
    """A template with its costs, forward or reversed in time as its structure is."""
    return TimedTemplate(structure, tuple(_timed(step, template, costs) for step in structure.steps), costs, template)


def _timed(step: Step, template: Template, costs: Sequence[NodeCost]) -> TimedStep:
    communication = template.nodes[step.nodes[0]].communication
    offsets: list[Picoseconds] = []
    total = np.zeros((1, 1), dtype=np.int64)
    for node in step.nodes:
        offsets.append(total)
        total = total + _table(costs[node].duration)
    return TimedStep(
        step, total, tuple(offsets), None if step.is_alone or communication is None else communication.groups.members
    )


def _table(duration: Picoseconds) -> Picoseconds:
    """A duration by copy and rank, with one row where copies are alike and one column where ranks are."""
    table = np.atleast_2d(duration)
    if table.shape[1] > 1 and are_alike(table, table[:, :1]):
        table = table[:, :1]
    return table[:1] if table.shape[0] > 1 and table.shape[1] == 1 and are_alike(table, table[:1]) else table


def of_copies(table: Picoseconds, rows: slice) -> Picoseconds:
    """Some rows of a table by copy and rank; the only one where copies are alike."""
    return table[rows] if len(table) > 1 else table


@dataclass(slots=True)
class TemplateCache:
    """Templates that were timed before, by the identity of their costs, and by structure and groups.

    `by_nodes` finds those of the same nodes at once. Each entry holds what its key has the `id` of: costs as part of
    the timed template, and nodes. So no other object gets that `id` while the entry is there.
    """

    entries: dict[object, TimedTemplate] = field(default_factory=dict[object, TimedTemplate])
    by_nodes: dict[tuple[int, int], tuple[tuple[Node, ...], TimedTemplate]] = field(
        default_factory=dict[tuple[int, int], "tuple[tuple[Node, ...], TimedTemplate]"]
    )

    def of(self, template: Template, costs: Costs) -> TimedTemplate:
        """The timed template of some costs."""
        key = id(costs), id(template.nodes)
        found = self.by_nodes.get(key)
        if found is None:
            found = self.by_nodes[key] = template.nodes, self._of(template, costs)
        return found[1]

    def _of(self, template: Template, costs: Costs) -> TimedTemplate:
        structure = structure_of(template)
        groups = tuple([node.op.groups.key for node in template.nodes if isinstance(node.op, Communication)])
        key = id(costs), structure, groups
        if key not in self.entries:
            self.entries[key] = timed(template, costs, structure)
        return self.entries[key]


@dataclass(frozen=True, slots=True, eq=False)
class PackedTemplate:
    """`words` are the steps, then what they point at. `header` are the words of the template.

    `pointers` are the words that count from the first word on. `durations` are those of each step, shape (copies or 1,
    1 or width); `duration_words` are the words that point at the first row of a step, `duration_rows` these rows, of
    all steps one after the other. `groups` are the (word, members) of steps whose ranks start together.
    """

    words: Int32
    header: Int32
    pointers: Int32
    duration_words: Int32
    duration_rows: Int32
    durations: tuple[Picoseconds, ...]
    groups: tuple[tuple[int, Ranks], ...]

    @property
    def row_count(self) -> int:
        """Rows of durations."""
        return sum(len(one) for one in self.durations)


def pack(structure: Structure, durations: Sequence[Picoseconds], groups: Sequence[Ranks | None]) -> PackedTemplate:
    """The tables of a template from the duration, shape (copies or 1, width or 1), and the groups of each step."""
    count = len(structure.steps)
    steps: list[list[int]] = []
    tail: list[int] = []
    row = 0
    for step, duration in zip(structure.steps, durations, strict=True):
        waits = count * STEP_WORDS + len(tail)
        tail += _waits(step.waits)
        links = count * STEP_WORDS + len(tail)
        tail += step.links
        numbers = step.lane, len(step.waits), step.data, len(step.links), step.receive, step.send, len(duration)
        steps.append([*numbers, waits, links, row, 0])
        row += len(duration)
    out_sizes = count * STEP_WORDS + len(tail)
    tail += [len(out) for out in structure.outs]
    outs = count * STEP_WORDS + len(tail)
    tail += [word for out in structure.outs for word in _waits(out)]
    first = np.arange(count, dtype=np.int32) * STEP_WORDS
    words = np.array([word for step in steps for word in step] + tail, dtype=np.int32)
    header = (structure.lanes, structure.streams, count, len(structure.outs), structure.sends, structure.receives)
    return PackedTemplate(
        words=words,
        header=np.array([*header, 0, out_sizes, outs], dtype=np.int32),
        pointers=np.concatenate([first + _WAITS, first + _LINKS]),
        duration_words=first + _DURATIONS,
        duration_rows=words[first + _DURATIONS],
        durations=tuple(durations),
        groups=tuple((_GROUPS + i * STEP_WORDS, one) for i, one in enumerate(groups) if one is not None),
    )


def _waits(waits: Sequence[Wait]) -> list[int]:
    return [word for wait in waits for word in (wait.value, NONE if wait.lane is None else wait.lane)]
