"""What ran on the lanes of the shown ranks, as tables of slices.

Turns runs into columns by vectors over copies, nodes and ranks. Start and end are both rounded down to nanoseconds, so
slices that touch still touch and none overlaps; what takes no time is left out. On each track slices come in the order
of time. Memory is that of one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.times import CopyStarts
from dagc.export.titles import moved_bytes, team_of
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.slice_table import (
    ABSENT,
    TABLE,
    Column,
    Gathered,
    SliceLabels,
    SliceTable,
    block,
    joined,
    operator_label,
)
from dagc.export.trace.tracks import PhaseTracks, TeamTracks
from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost, Picoseconds
from dagc.schedule.timeline import Run, Timeline

_LARGEST = float(2**63 - 1024)
"""The largest whole number of 64 bits that is a floating-point number, too."""


def lane_slices(
    phase: PhaseTracks, labels: SliceLabels, arrows: Arrows, keeps: Callable[[Run], bool]
) -> Iterator[SliceTable]:
    """The slices of the shown ranks, of the runs to keep; `labels` fills as they come."""
    gathered = Gathered()
    known: dict[tuple[int, int, int], _Slots] = {}
    for runs in _interleaved(phase.timeline, keeps):
        found: list[tuple[Run, _Slots]] = []
        for run in runs:
            key = run.template, run.size, run.stage
            slots = known[key] if key in known else known.setdefault(key, _Slots(phase, run, labels))
            if slots.width:
                found.append((run, slots))
        length = max(1, TABLE // max(1, sum(slots.width for _, slots in found)))
        for first in range(0, runs[0].count if found else 0, length):
            copies = range(first, min(first + length, runs[0].count))
            yield from gathered.add(_in_order([_slices(phase, *one, copies, arrows) for one in found]))
    yield from gathered.rest()


def _interleaved(timeline: Timeline, keeps: Callable[[Run], bool]) -> Iterator[list[Run]]:
    """Runs that must be put in the order of time together: those of a pool that goes from stage to stage with each
    copy. They are together, one for each stage at most, in rising order.
    """
    teams = [team for program in timeline.priced.graph.programs[0] for team in set(program.teams)]
    shares = len(set(teams)) < len(teams)
    together: list[Run] = []
    for run in filter(keeps, timeline.shown()):
        if together and not (shares and run.stage > together[-1].stage and run.count == together[-1].count):
            yield together
            together = []
        together.append(run)
    if together:
        yield together


def _in_order(blocks: list[Mapping[str, Column]]) -> Mapping[str, Column]:
    if len(blocks) == 1:
        return blocks[0]
    merged = joined(blocks)
    order = np.argsort(merged["start"], kind="stable")
    return {name: column[order] for name, column in merged.items()}


@dataclass(frozen=True, slots=True)
class _Slot:
    """A node on the shown ranks of its team: `width` columns from `first` on."""

    index: int
    node: Node
    cost: NodeCost
    team: TeamTracks
    first: int

    @property
    def columns(self) -> slice:
        return slice(self.first, self.first + self.team.local.size)


class _Slots:
    """One copy of a template, a column for each node and shown rank: what copies share, and where copies differ."""

    def __init__(self, phase: PhaseTracks, run: Run, labels: SliceLabels) -> None:
        priced = phase.timeline.priced
        teams = priced.graph.programs[run.size][run.stage].teams
        self.slots: list[_Slot] = []
        self.width = 0
        pairs = zip(priced.graph.templates[run.template].nodes, priced.costs[run.template], strict=True)
        for index, (node, cost) in enumerate(pairs):
            team = phase.teams[team_of(teams, node)]
            if team.local.size:
                self.slots.append(_Slot(index, node, cost, team, self.width))
                self.width += team.local.size
        self.pid = self._joined(lambda slot: np.full(slot.team.local.size, slot.team.pid))
        self.tid = self._joined(lambda slot: slot.team.threads(slot.node.op.lane))
        self.label = self._joined(
            lambda slot: np.full(slot.team.local.size, labels.number(operator_label(slot.node, slot.cost)))
        )
        self.duration = self._figures([slot.cost.duration for slot in self.slots])
        self.flops = self._figures([_whole(slot.node.flops) for slot in self.slots])
        self.bytes = self._figures([_whole(moved_bytes(slot.node)) for slot in self.slots])

    def starts(self, run: Run, copies: range) -> Picoseconds:
        """Starts, shape (copies, columns)."""
        return CopyStarts((run,), copies).of_all([(slot.index, slot.team.local) for slot in self.slots])[0]

    def _joined(self, of: Callable[[_Slot], Column]) -> Column:
        return np.concatenate([of(slot) for slot in self.slots]) if self.slots else np.empty(0, dtype=np.int64)

    def _figures(self, loads: Sequence[Column]) -> Column:
        """A figure of each node by column, shape (1, columns), or (copies of the segment, columns)."""
        if not loads:
            return np.empty((1, 0), dtype=np.int64)
        rows = max(load.shape[0] if load.ndim > 1 else 1 for load in loads)
        parts: list[Column] = []
        for load, slot in zip(loads, self.slots, strict=True):
            table = load if load.ndim > 1 else load[None]
            chosen = table if table.shape[1] == 1 else table[:, slot.team.local]
            parts.append(np.broadcast_to(chosen, (rows, slot.team.local.size)))
        return np.concatenate(parts, axis=1)


def _whole(amounts: npt.NDArray[np.float64]) -> Column:
    """Whole numbers of 64 bits; what is larger is the largest of them."""
    return np.rint(np.minimum(amounts, _LARGEST)).astype(np.int64)


def _slices(phase: PhaseTracks, run: Run, slots: _Slots, copies: range, arrows: Arrows) -> Mapping[str, Column]:
    """Some copies of a run, in the order of their starts."""
    begun = phase.begin + slots.starts(run, copies)
    start, end = begun // 1000, (begun + _rows(slots.duration, run, copies)) // 1000
    kept = end > start
    flow = np.zeros(start.shape, dtype=np.int64)
    by_node = {slot.index: kept[:, slot.columns] for slot in slots.slots}
    flows = arrows.of_run(phase, run, {slot.index: slot.team for slot in slots.slots}, by_node)
    for slot in slots.slots:
        if slot.index in flows:
            flow[:, slot.columns] = flows[slot.index]
    layer = np.full(len(copies), ABSENT) if run.first_layer is None else run.first_layer + np.array(copies)
    copy, slot_of = np.nonzero(kept)
    order = np.argsort(start[copy, slot_of], kind="stable")
    copy, slot_of = copy[order], slot_of[order]

    def column(values: Column) -> Column:
        """Of each slice, from a table by copy and slot whose copies may be one."""
        return values[copy if values.shape[0] > 1 else 0, slot_of]

    return block(
        column(start),
        column(end),
        pid=slots.pid[slot_of],
        tid=slots.tid[slot_of],
        label=slots.label[slot_of],
        flow=column(flow),
        micro_batch=run.micro_batch,
        step=run.step,
        layer=layer[copy],
        flops=column(_rows(slots.flops, run, copies)),
        bytes=column(_rows(slots.bytes, run, copies)),
    )


def _rows(figures: Column, run: Run, copies: range) -> Column:
    """Those of some copies of a run, where copies differ."""
    return figures[run.offset + copies.start : run.offset + copies.stop] if figures.shape[0] > 1 else figures
