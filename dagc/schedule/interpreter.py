"""The semantics of a schedule, in Python: what `kernel.c` does, for small programs and as its oracle.

A step starts when its lane and all that it waits for are ready: of its own team rank by rank, of another when the last
rank is. The members of a group start together. A receive starts no earlier than its send, and ends no earlier: it
starts at max(own readiness, start of the send, end of the send - own duration), so an end is always start + duration.

Times are lists of integers by rank, which for few ranks are quicker than arrays. A copy of a template is a max-plus map
of its inputs: where these differ from those of an earlier copy by one constant, so do all of its times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dagc.schedule.executor import Ended, Executor, PathPlaces, Room, Walk
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
    Int64,
    IssueTable,
    Program,
)
from dagc.schedule.structure import NONE, Wait
from dagc.schedule.template import TimedTemplate

Times = list[int]
"""By rank."""


class _Copy(NamedTuple):
    """Times of a copy, less a time that its inputs have in common: starts by step, shape (steps, ranks), and ends."""

    starts: Int64
    ends: list[Times]


class _Message(NamedTuple):
    """A message under way: start and end of its send by rank, and the row of that; empty where there is none."""

    begun: Times
    done: Times
    row: int


class _State:
    """The state of an executor as lists."""

    def __init__(self, executor: Executor) -> None:
        """As its arrays are."""
        self.lanes: list[Times] = executor.lanes.tolist()
        self.lane_rows: Times = executor.lane_rows.tolist()
        counts: Times = executor.stream_counts.tolist()
        self.streams: list[list[Times]] = [
            times[:count] for times, count in zip(executor.streams.tolist(), counts, strict=True)
        ]
        self.stream_rows: list[Times] = executor.stream_rows.tolist()
        messages: list[list[Times]] = executor.messages.tolist()
        rows, widths = executor.message_rows.tolist(), executor.message_widths.tolist()
        self.messages = [
            _Message(begun[:width], done[:width], row)
            for (begun, done), row, width in zip(messages, rows, widths, strict=True)
        ]

    def write(self, executor: Executor) -> None:
        """Into the arrays."""
        for array, times in (
            (executor.lanes, self.lanes),
            *zip(executor.streams, self.streams, strict=True),
            *((pair, [one.begun, one.done]) for pair, one in zip(executor.messages, self.messages, strict=True)),
        ):
            for row, one in zip(array, times, strict=False):
                row[: len(one)] = one
        executor.lane_rows[...], executor.stream_rows[...] = self.lane_rows, self.stream_rows
        executor.stream_counts[...] = [len(one) for one in self.streams]
        executor.message_rows[...] = [one.row for one in self.messages]
        executor.message_widths[...] = [len(one.begun) for one in self.messages]


class Interpreter(Executor):
    """A program, run in Python."""

    def __init__(self, program: Program, templates: Sequence[TimedTemplate], record: Room) -> None:
        """With zeroed arrays."""
        super().__init__(program, templates)
        for name, (shape, dtype) in self.shapes(record).items():
            setattr(self, name, np.zeros(shape, dtype=dtype))
        self._lane_maps: list[int] = program.lane_maps.tolist()
        self._widths: list[int] = program.widths.tolist()
        self._known: dict[object, _Copy] = {}
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
        state, rows = _State(self), table.issues.tolist()
        heads = [issue for issue in issues if rows[issue][MEMBERS]]
        for head in reversed(heads) if is_reversed else heads:
            members = range(head, head + rows[head][MEMBERS])
            for issue in members:
                if rows[issue][EDGES] & (LAST if is_reversed else FIRST):
                    place = rows[issue][STREAMS]
                    state.streams[place] = [[0] * self.program.ranks]
                    state.stream_rows[place][0] = NONE
            copies = range(rows[head][COUNT])
            for number in reversed(copies) if is_reversed else copies:
                for issue in reversed(members) if is_reversed else members:
                    counts = bool(rows[issue][COUNTS])
                    at = int(table.rows[issue] + number * table.row_stride[issue])
                    sources, ends = self._copy(state, rows[issue], number, at, record, is_reversed, counts * floor)
                    if record and record[1] is not None:
                        entry = int(table.entries[issue] + number * table.entry_stride[issue]) - record[1]
                        self.sources[entry, : len(sources)] = sources
                    end = max(map(max, ends), default=None)
                    if counts and end is not None and (last is None or end > last.makespan):
                        last = Ended(end, issue)
        state.write(self)
        return last

    def _copy(
        self,
        state: _State,
        issue: list[int],
        number: int,
        row: int,
        record: tuple[int, int | None] | None,
        is_reversed: bool,
        floor: int,
    ) -> tuple[list[int], list[Times]]:
        """One copy of an issue: the rows that its inputs come from, and the ends of its steps."""
        template = self.templates[issue[TEMPLATE]]
        structure, streams = template.structure, state.streams[issue[STREAMS]]
        lanes = self._lane_maps[issue[LANES] : issue[LANES] + structure.lanes]
        there = [min(stream, len(streams) - 1) for stream in range(structure.streams)]
        inputs = [state.lanes[lane] for lane in lanes] + [streams[stream] for stream in there]
        stream_rows = state.stream_rows[issue[STREAMS]]
        sources = [state.lane_rows[lane] for lane in lanes] + [stream_rows[stream] for stream in there]
        own, peer = issue[OWN] + number * structure.sends, issue[PEER] + number * structure.receives
        slots = (own, peer) if is_reversed else (peer, own)
        copy = issue[OFFSET] + number
        if floor or not template.is_map:
            starts, ends = self._steps(state, template, copy, lanes, inputs, slots, row, floor, sources)
        else:
            base = inputs[0][0]
            key = template, issue[LANES], tuple([time - base for times in inputs for time in times])
            known = self._known.get(key)
            if known is None:
                starts, ends = self._steps(state, template, copy, lanes, inputs, slots, row, floor, sources)
                less = [[end - base for end in times] for times in ends]
                self._known[key] = _Copy(self._padded(starts) - base, less)
            else:
                starts, ends = known.starts + base, [[end + base for end in times] for times in known.ends]
        if record:
            self.starts[row - record[0] : row - record[0] + len(ends)] = self._padded(starts)
        for index, step in enumerate(structure.steps):
            lane = lanes[step.lane]
            state.lanes[lane], state.lane_rows[lane] = ends[index], row + index
        self._leave(state, issue, template, lanes, [*inputs, *ends], sources, row)
        return sources, ends

    def _padded(self, starts: Sequence[Times] | Int64) -> Int64:
        """Starts of the steps of a copy, shape (steps, ranks)."""
        if isinstance(starts, np.ndarray):
            return starts
        ranks = self.program.ranks
        return np.array([one + [0] * (ranks - len(one)) for one in starts], dtype=np.int64).reshape(-1, ranks)

    def _steps(
        self,
        state: _State,
        template: TimedTemplate,
        copy: int,
        lanes: Sequence[int],
        inputs: Sequence[Times],
        slots: tuple[int, int],
        row: int,
        floor: int,
        sources: list[int],
    ) -> tuple[list[Times], list[Times]]:
        """Starts and ends of the steps of a copy. The rows of messages that it takes are added to its `sources`."""
        structure = template.structure
        receives, sends = slots
        values, starts = list(inputs), list[Times]()
        sources += [NONE] * max(structure.sends, structure.receives)
        for index, step in enumerate(structure.steps):
            width = self._widths[lanes[step.lane]]
            durations = template.rows[index]
            duration = durations[copy if len(durations) > 1 else 0]
            duration = duration if len(duration) == width else duration * width
            start = self._ready(values, step.waits, lanes, width)
            for link in step.links:
                begun, done = max(starts[link]), max(values[structure.inputs + link])
                start = [max(time, begun, done - own) for time, own in zip(start, duration, strict=True)]
            if step.receive != NONE:
                slot = receives + step.receive
                begun, done, sources[structure.inputs + step.receive] = state.messages[slot]
                start = _joined(start, begun, done, duration)
                state.messages[slot] = _Message([], [], sources[structure.inputs + step.receive])
                if not begun:
                    sources[structure.inputs + step.receive] = NONE
            if floor:
                start = [max(time, floor) for time in start]
            if width > 1:
                start = list(start)
                for group in template.groups[index]:
                    together = max([start[rank] for rank in group])
                    for rank in group:
                        start[rank] = together
            end = [time + own for time, own in zip(start, duration, strict=True)]
            starts.append(start)
            values.append(end)
            if step.send != NONE:
                state.messages[sends + step.send] = _Message(start, end, row + index)
        return starts, values[structure.inputs :]

    def _leave(
        self,
        state: _State,
        issue: list[int],
        template: TimedTemplate,
        lanes: Sequence[int],
        values: Sequence[Times],
        sources: Sequence[int],
        row: int,
    ) -> None:
        """The streams afterwards: of another team's value when its last rank is done."""
        structure, place = template.structure, issue[STREAMS]
        width = self._widths[lanes[0]]
        state.streams[place] = [
            self._ready(values, out, lanes, width) if out else [0] * width for out in structure.outs
        ]
        for stream, out in enumerate(structure.outs):
            first = out[0].value if out else NONE
            passed = sources[first] if 0 <= first < structure.inputs else NONE
            state.stream_rows[place][stream] = row + first - structure.inputs if first >= structure.inputs else passed

    def _ready(self, values: Sequence[Times], waits: Iterable[Wait], lanes: Sequence[int], width: int) -> Times:
        """When the last of some values is there, as a step of so many ranks waits for it."""
        found: Times | None = None
        for value, lane in waits:
            seen = values[value][:width]
            if lane is not None:
                seen = [max(values[value][: self._widths[lanes[lane]]])] * width
            found = seen if found is None else list(map(max, found, seen))
        assert found is not None
        return found

    def walk_back(self, table: IssueTable, row: int, rank: int) -> PathPlaces:
        """The critical path, as `Executor.walk_back` says."""
        return Walk(self.program, table, self.starts.tolist().__getitem__, self.sources.tolist().__getitem__).back(
            row, rank
        )

    def overlap(self, table: IssueTable, periods: Sequence[int], team: int, rank: int) -> int:
        """Time in which both lanes are busy, as `Executor.overlap` says: each lane has its steps in their order."""
        starts: list[Times] = self.starts.tolist()
        walk, place = Walk(self.program, table, starts.__getitem__, self.sources.__getitem__), None
        steps: list[tuple[int, int, int]] = []
        for row in range(table.row_count):
            place = walk.place(row, place)
            if place.team == team:
                steps.append((place.step.lane % 2, row, place.duration(rank)))
        lanes: tuple[list[tuple[int, int, int]], ...] = [], []
        for first in periods:
            for lane, row, duration in steps:
                begin = starts[first + row][rank]
                lanes[lane].append((begin, begin + duration, first))
        found, at = 0, [0, 0]
        while at[0] < len(lanes[0]) and at[1] < len(lanes[1]):
            one, other = lanes[0][at[0]], lanes[1][at[1]]
            if periods[-1] in (one[2], other[2]):
                found += max(0, min(one[1], other[1]) - max(one[0], other[0]))
            at[0 if one[1] < other[1] else 1] += 1
        return found


def _joined(start: Times, begun: Times, done: Times, duration: Times) -> Times:
    """The start of a step that takes a message; as it was without one."""
    if not begun:
        return start
    if len(begun) != len(start):
        begun, done = [max(begun)] * len(start), [max(done)] * len(start)
    each = zip(start, begun, done, duration, strict=True)
    return [max(time, first, last - own) for time, first, last, own in each]
