"""What runs a program: its state and its record, as arrays; and what of a record led to what.

`kernel.Kernel` is the compiled loop, `interpreter.Interpreter` the same in Python, for small programs and as its
oracle. Both map the state (ready times of lanes, streams and messages) through copies of templates.

A critical path goes back from a place (a row of the record and a rank) to the first that ended just when it started:
data edges first, then the message, then the lane, then order edges; among ranks its own first, then the lowest of its
group. A receive is bound by its send, with which it runs at the same time. `Walk` is that in Python, for records in
parts, and as oracle of the kernel's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.program import COUNT, LANES, MEMBERS, OFFSET, TEMPLATE, Int64, IssueTable, Program
from dagc.schedule.structure import NONE, Step, Wait
from dagc.schedule.template import TimedTemplate

Array = npt.NDArray[Any]

Snapshot = Mapping[str, Array]
"""A copy of the state."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last end of the issues that count, and the first of them that is done then; None where none counts."""

    makespan: int
    issue: int


class Room(NamedTuple):
    """How much a record holds: steps of copies, and copies."""

    rows: int
    entries: int


class PathPlaces(NamedTuple):
    """Places of the critical path, from the last to the first: row of the record, rank, team, start and end."""

    row: Int64
    rank: Int64
    team: Int64
    start: Int64
    end: Int64


class Executor(ABC):
    """State and record of one program.

    `starts` has shape (rows, ranks): when each step of the record starts. `sources`, shape (entries, inputs), has for
    each lane, stream and message of a copy the row of the step that it comes from.
    """

    STATE = (
        "lanes",
        "streams",
        "messages",
        "lane_rows",
        "stream_rows",
        "message_rows",
        "stream_counts",
        "message_widths",
    )

    lanes: npt.NDArray[np.int64]
    streams: npt.NDArray[np.int64]
    messages: npt.NDArray[np.int64]
    lane_rows: npt.NDArray[np.int32]
    stream_rows: npt.NDArray[np.int32]
    message_rows: npt.NDArray[np.int32]
    stream_counts: npt.NDArray[np.int32]
    message_widths: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int32]

    def __init__(self, program: Program, templates: Sequence[TimedTemplate]) -> None:
        """`templates` are those of the program, forward or reversed."""
        self.program = program
        self.templates = templates

    @abstractmethod
    def run(
        self,
        table: IssueTable,
        issues: range,
        *,
        record: tuple[int, int | None] | None = None,
        is_reversed: bool = False,
        floor: int = 0,
    ) -> Ended | None:
        """Run some issues of a table, from the last to the first where reversed; none of those that count starts before
        `floor`. Their times are recorded where `record` gives the first row and entry that the record holds, and no
        sources without the latter.
        """

    @abstractmethod
    def walk_back(self, table: IssueTable, row: int, rank: int) -> PathPlaces:
        """The critical path from a row of the record and a rank back to its start."""

    @abstractmethod
    def overlap(self, table: IssueTable, periods: Sequence[int], team: int, rank: int) -> int:
        """Time of the last period in which both lanes of a rank are busy, one of them perhaps in the period before.

        `periods` are the rows at which the record has the starts of each, the last one last.
        """

    def shapes(self, record: Room) -> dict[str, tuple[tuple[int, ...], type[np.int32 | np.int64]]]:
        """Shape and type of each array of state and record."""
        size, ranks = self.program.state, self.program.ranks
        return {
            "lanes": ((size.lanes, ranks), np.int64),
            "streams": ((size.stream_places, size.most_streams, ranks), np.int64),
            "messages": ((size.message_slots, 2, ranks), np.int64),
            "lane_rows": ((size.lanes,), np.int32),
            "stream_rows": ((size.stream_places, size.most_streams), np.int32),
            "message_rows": ((size.message_slots,), np.int32),
            "stream_counts": ((size.stream_places,), np.int32),
            "message_widths": ((size.message_slots,), np.int32),
            "starts": ((record.rows, ranks), np.int64),
            "sources": ((record.entries, size.most_inputs), np.int32),
        }

    def begin(self) -> None:
        """The state in which nothing has run."""
        for name in self.STATE:
            getattr(self, name)[...] = NONE if name in ("lane_rows", "stream_rows", "message_rows") else 0
        self.stream_counts[...] = 1

    def snapshot(self) -> Snapshot:
        """The state, to come back to."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state."""
        for name in self.STATE:
            getattr(self, name)[...] = snapshot[name]

    def pending(self) -> Picoseconds:
        """All times that the next period depends on: lanes, messages not yet received, streams that go on."""
        program = self.program
        wide = np.arange(program.ranks) < program.widths[:, None]
        found = [self.lanes[wide]]
        if len(program.graph.programs[0]) == 1:
            kept = np.arange(program.state.most_streams) < self.stream_counts[:, None]
            found.append(self.streams[kept][:, : int(program.widths[0])].ravel())
        for slot in np.flatnonzero(self.message_widths):
            found.append(self.messages[slot, :, : self.message_widths[slot]].ravel())
        return np.concatenate(found)


class RecordedStep(NamedTuple):
    """One step of one copy: its issue and copy, the first row and the entry of the copy, its template and which step of
    it, its team, and its starts by rank.
    """

    issue: int
    number: int
    first_row: int
    entry: int
    template: TimedTemplate
    at: int
    team: int
    starts: Sequence[int]
    durations: Sequence[int]

    @property
    def step(self) -> Step:
        """The step."""
        return self.template.structure.steps[self.at]

    def duration(self, rank: int) -> int:
        """How long it takes on a rank."""
        return self.durations[rank if len(self.durations) > 1 else 0]

    def end(self, rank: int) -> int:
        """When it ends on a rank."""
        return self.starts[rank] + self.duration(rank)

    @property
    def last(self) -> int:
        """The rank that ends last, the first of equals."""
        return max(range(len(self.starts)), key=self.end) if len(self.starts) > 1 else 0


class Walk:
    """Over the record of a table."""

    def __init__(
        self,
        program: Program,
        table: IssueTable,
        starts: Callable[[int], Sequence[int]],
        sources: Callable[[int], Sequence[int]],
    ) -> None:
        """`starts` are those of a row by rank, `sources` those of an entry by input."""
        self._templates, self._starts, self._sources = program.templates, starts, sources
        counts = table.row_stride * table.column(COUNT)
        self._heads: list[int] = np.flatnonzero((table.column(MEMBERS) > 0) & (counts > 0)).tolist()
        self._rows: list[int] = table.rows[self._heads].tolist()
        self._issues: list[list[int]] = table.issues[:, (TEMPLATE, LANES, OFFSET)].tolist()
        places = np.stack([table.row_stride, table.entries, table.entry_stride], axis=1)
        self._places: list[list[int]] = places.tolist()
        self._lane_maps: list[int] = program.lane_maps.tolist()
        self._widths: list[int] = program.widths.tolist()

    def back(self, row: int, rank: int) -> PathPlaces:
        """The path from a place back to its start."""
        path: list[tuple[int, ...]] = []
        at: tuple[RecordedStep, int] | None = (self.place(row), rank)
        while at is not None:
            place, rank = at
            path.append((place.first_row + place.at, rank, place.team, place.starts[rank], place.end(rank)))
            at = self._before(place, rank)
        return PathPlaces(*np.array(path, dtype=np.int64).T)

    def place(self, row: int, beside: RecordedStep | None = None) -> RecordedStep:
        """What a row of the record is of; `beside` is a place that is perhaps of the same copy."""
        if beside and 0 <= row - beside.first_row < len(beside.template.steps):
            issue, number, first_row, entry, template = beside[:5]
        else:
            head = bisect_right(self._rows, row) - 1
            issue = self._heads[head]
            number, rest = divmod(row - self._rows[head], self._places[issue][0])
            while rest >= len((template := self._templates[self._issues[issue][0]]).steps):
                rest -= len(template.steps)
                issue += 1
            first_row, entry = row - rest, self._places[issue][1] + number * self._places[issue][2]
        index = row - first_row
        _, lanes, offset = self._issues[issue]
        lane = self._lane_maps[lanes + template.structure.steps[index].lane]
        durations = template.rows[index]
        starts = self._starts(row)[: self._widths[lane]]
        duration = durations[offset + number if len(durations) > 1 else 0]
        return RecordedStep(issue, number, first_row, entry, template, index, lane // 2, starts, duration)

    def _before(self, place: RecordedStep, rank: int) -> tuple[RecordedStep, int] | None:
        """What a place waited for to its last moment; None where it starts at once."""
        step = place.step
        if not step.links and step.receive == NONE:
            return self._waited_for(place, rank, step.waits)
        found = self._waited_for(place, rank, step.waits[: step.data])
        for link in step.links if found is None else ():
            found = found or self._sent_by(place, rank, place.first_row + link, is_message=False)
        if found is None and step.receive != NONE:
            send = int(self._sources(place.entry)[place.template.structure.inputs + step.receive])
            found = None if send == NONE else self._sent_by(place, rank, send, is_message=True)
        return found or self._waited_for(place, rank, step.waits[step.data :])

    def _waited_for(self, place: RecordedStep, rank: int, waits: Iterable[Wait]) -> tuple[RecordedStep, int] | None:
        inputs = place.template.structure.inputs
        for value, lane in waits:
            row = place.first_row + value - inputs if value >= inputs else int(self._sources(place.entry)[value])
            if row == NONE:
                continue
            source = self.place(row, place)
            found = _critical_rank(place, rank, source, lane is None and source.team == place.team)
            if found is not None:
                return source, found
        return None

    def _sent_by(self, place: RecordedStep, rank: int, row: int, is_message: bool) -> tuple[RecordedStep, int] | None:
        """A send, if it is what its receive waits for, by its start or by its end less the receive's duration."""
        send = self.place(row, place)
        is_own = is_message and len(send.starts) == len(place.starts)
        first = rank if is_own else max(range(len(send.starts)), key=send.starts.__getitem__)
        if send.starts[first] == place.starts[rank]:
            return send, first
        last = rank if is_own else send.last
        return (send, last) if send.end(last) == place.end(rank) else None


def _critical_rank(place: RecordedStep, rank: int, source: RecordedStep, is_own: bool) -> int | None:
    """The rank of a source whose end is the start: of another team its last; else the same rank, or of its group."""
    start = place.starts[rank]
    if not is_own:
        return source.last if source.end(source.last) == start else None
    if source.end(rank) == start:
        return rank
    if len(place.starts) == 1:
        return None
    beside = next((group for group in place.template.groups[place.at] if rank in group), list[int]())
    return min((one for one in beside if source.end(one) == start), default=None)
