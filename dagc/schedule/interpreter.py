"""The semantics of a schedule, in Python: what `kernel.c` does, for small programs and as its oracle.

A step starts when its lane and all that it waits for are ready: of its own team rank by rank, of another when the last
rank is. The members of a group start together. A receive starts no earlier than its send, and ends no earlier: it
starts at max(own readiness, start of the send, end of the send - own duration), so an end is always start + duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import NONE, Ended, Executor, Places, Room
from dagc.schedule.program import (
    COUNT,
    COUNTS,
    EDGES,
    FIRST,
    LANES,
    LAST,
    MEMBERS,
    OFFSET,
    OWN,
    PEER,
    STREAMS,
    TEMPLATE,
    IssueTable,
    Program,
)
from dagc.schedule.structure import NO_MESSAGE, Wait
from dagc.schedule.template import TimedStep, TimedTemplate
from dagc.schedule.walk import Walk


class _Target(NamedTuple):
    """Where starts by row and sources by entry are recorded, from this row and entry on."""

    starts: Picoseconds
    sources: npt.NDArray[np.int32] | None
    first_row: int
    first_entry: int


class Interpreter(Executor):
    """A program, run by numpy."""

    def __init__(self, program: Program, templates: Sequence[TimedTemplate], record: Room) -> None:
        """With zeroed arrays."""
        super().__init__(program, templates)
        for name, (shape, dtype) in self.shapes(record).items():
            setattr(self, name, np.zeros(shape, dtype=dtype))
        self.begin()

    def run(
        self,
        table: IssueTable,
        issues: range,
        *,
        record: tuple[int, int | None] | None = None,
        is_reversed: bool = False,
        floor: int = 0,
    ) -> Ended | None:
        """Run issues, as `Executor.run` says."""
        last: Ended | None = None
        target = None
        if record is not None:
            row, entry = record
            target = _Target(self.starts, None if entry is None else self.sources, row, entry or 0)
        heads = [issue for issue in issues if table.issues[issue, MEMBERS]]
        for head in reversed(heads) if is_reversed else heads:
            members = range(head, head + int(table.issues[head, MEMBERS]))
            for issue in members:
                if table.issues[issue, EDGES] & (LAST if is_reversed else FIRST):
                    place = table.issues[issue, STREAMS]
                    self.stream_counts[place], self.streams[place, 0], self.stream_rows[place, 0] = 1, 0, NONE
            copies = range(table.issues[head, COUNT])
            for number in reversed(copies) if is_reversed else copies:
                for issue in reversed(members) if is_reversed else members:
                    counts = bool(table.issues[issue, COUNTS])
                    end = self._copy(table, issue, number, target, is_reversed, floor if counts else 0)
                    if counts and end is not None and (last is None or end > last.makespan):
                        last = Ended(end, issue)
        return last

    def _copy(
        self, table: IssueTable, issue: int, number: int, target: _Target | None, is_reversed: bool, floor: int
    ) -> int | None:
        """One copy of an issue; its last end, None without steps."""
        columns = table.issues[issue]
        template = self.templates[int(columns[TEMPLATE])]
        structure, place = template.structure, int(columns[STREAMS])
        lanes = self._lanes(table, issue)[: structure.lanes]
        row = int(table.rows[issue] + number * table.row_stride[issue])
        entry = int(table.entries[issue] + number * table.entry_stride[issue])
        there = [min(stream, int(self.stream_counts[place]) - 1) for stream in range(structure.streams)]
        values = [self.lanes[lane].copy() for lane in lanes] + [self.streams[place, stream].copy() for stream in there]
        sources: list[int] = [*self.lane_rows[lanes].tolist(), *self.stream_rows[place][there].tolist()]
        met = [NONE] * max(structure.sends, structure.receives)
        own, peer = columns[OWN] + number * structure.sends, columns[PEER] + number * structure.receives
        takes, posts = (own, peer) if is_reversed else (peer, own)
        starts: list[Picoseconds] = []
        for index, timed in enumerate(template.steps):
            step, width = timed.step, self._width(lanes[timed.step.lane])
            duration = self._duration(timed, int(columns[OFFSET]) + number, width)
            start = np.maximum.reduce([self._seen(values, wait, lanes, width) for wait in step.waits])
            for link in step.links:
                other = self._width(lanes[template.steps[link].step.lane])
                begun, done = starts[link][:other], values[structure.inputs + link][:other]
                start = np.maximum(start, np.maximum(begun.max(), done.max() - duration))
            if step.takes != NO_MESSAGE:
                start, met[step.takes] = self._take(takes + step.takes, start, duration)
            start = np.maximum(start, floor)
            if timed.groups is not None and width > 1:
                start[timed.groups] = start[timed.groups].max(axis=1, keepdims=True)
            end = start + duration
            starts.append(start)
            values.append(end)
            if step.posts != NO_MESSAGE:
                self._post(posts + step.posts, start, end, row + index)
            self.lanes[lanes[step.lane], :width], self.lane_rows[lanes[step.lane]] = end, row + index
            if target:
                target.starts[row + index - target.first_row, :width] = start
        if target and target.sources is not None:
            target.sources[entry - target.first_entry, : structure.inputs + len(met)] = [*sources, *met]
        self._leave(table, issue, template, values, sources, row)
        return max((int(values[structure.inputs + i].max()) for i in range(len(starts))), default=None)

    def _take(self, slot: int, start: Picoseconds, duration: Picoseconds) -> tuple[Picoseconds, int]:
        """The start of a step that takes the message of a slot, and the row of its other end; as it was without one."""
        if not (width := int(self.message_widths[slot])):
            return start, NONE
        self.message_widths[slot] = 0
        begun, done = self.messages[slot, :, :width]
        if width != start.size:
            begun, done = begun.max(), done.max()
        return np.maximum(start, np.maximum(begun, done - duration)), int(self.message_rows[slot])

    def _post(self, slot: int, start: Picoseconds, end: Picoseconds, row: int) -> None:
        self.messages[slot, 0, : start.size], self.messages[slot, 1, : start.size] = start, end
        self.message_widths[slot], self.message_rows[slot] = start.size, row

    def _leave(
        self,
        table: IssueTable,
        issue: int,
        template: TimedTemplate,
        values: Sequence[Picoseconds],
        sources: Sequence[int],
        row: int,
    ) -> None:
        """The streams afterwards: of another team's value when its last rank is done."""
        structure, place, lanes = template.structure, table.issues[issue, STREAMS], self._lanes(table, issue)
        width = self._width(lanes[0])
        for stream, out in enumerate(structure.outs):
            seen = [self._seen(values, wait, lanes, width) for wait in out]
            self.streams[place, stream, :width] = np.maximum.reduce(seen) if seen else 0
            first = out[0].value if out else NONE
            passed = sources[first] if 0 <= first < structure.inputs else NONE
            self.stream_rows[place, stream] = row + first - structure.inputs if first >= structure.inputs else passed
        self.stream_counts[place] = len(structure.outs)

    def _lanes(self, table: IssueTable, issue: int) -> npt.NDArray[np.int32]:
        return self.program.lane_maps[table.issues[issue, LANES] :]

    def _width(self, lane: int) -> int:
        return int(self.program.widths[lane])

    def _seen(self, values: Sequence[Picoseconds], wait: Wait, lanes: npt.NDArray[np.int32], width: int) -> Picoseconds:
        """A value as a step of so many ranks waits for it."""
        if wait.lane is None:
            return values[wait.value][:width]
        return np.full(width, values[wait.value][: self._width(lanes[wait.lane])].max())

    def _duration(self, timed: TimedStep, copy: int, width: int) -> Picoseconds:
        return np.broadcast_to(timed.duration[copy if len(timed.duration) > 1 else 0], (width,))

    def walk_back(self, table: IssueTable, row: int, rank: int) -> Places:
        """The critical path, as `Executor.walk_back` says."""
        return Walk(self.program, table, self.starts.__getitem__, self.sources.__getitem__).back(row, rank)

    def overlap(self, table: IssueTable, periods: Sequence[int], team: int, rank: int) -> int:
        """By comparing each step of one lane with each of the other."""
        lanes: tuple[list[tuple[int, int, int]], ...] = [], []
        walk = Walk(self.program, table, self.starts.__getitem__, self.sources.__getitem__)
        for row in range(table.row_count):
            place = walk.place(row)
            if place.team == team:
                length = int(place.ends[rank] - place.starts[rank])
                for first in periods:
                    begin = int(self.starts[first + row, rank])
                    lanes[place.timed.step.lane % 2].append((begin, begin + length, first))
        return sum(
            max(0, min(one[1], other[1]) - max(one[0], other[0]))
            for one in lanes[0]
            for other in lanes[1]
            if periods[-1] in (one[2], other[2])
        )
