"""The walk back along the critical path, in Python: for records that are in parts, and as oracle of the kernel's.

It goes back from a place (a row of the record and a rank) to the first that ended just when it started: data edges
first, then the message, then the lane, then order edges; among ranks its own first, then the lowest of its group. A
receive is bound by its send, with which it runs at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import NONE, PathPlaces
from dagc.schedule.program import COUNT, LANES, MEMBERS, OFFSET, TEMPLATE, IssueTable, Program
from dagc.schedule.structure import NO_MESSAGE, Wait
from dagc.schedule.template import TimedStep


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of one copy: its issue and copy, the first row and the entry of the copy, its team, and its times."""

    issue: int
    number: int
    first_row: int
    entry: int
    team: int
    timed: TimedStep
    starts: Picoseconds
    ends: Picoseconds


@dataclass(frozen=True)
class Walk:
    """Over the record of a table: `starts` of a row, shape (ranks,), and `sources` of an entry, shape (inputs,)."""

    program: Program
    table: IssueTable
    starts: Callable[[int], Picoseconds]
    sources: Callable[[int], npt.NDArray[np.int32]]

    @cached_property
    def _heads(self) -> npt.NDArray[np.intp]:
        """Issues at which a group begins that has rows."""
        table = self.table
        counts = table.row_stride * table.column(COUNT)
        return np.flatnonzero((table.column(MEMBERS) > 0) & (counts > 0))

    def back(self, row: int, rank: int) -> PathPlaces:
        """The path from a place back to its start."""
        path: list[tuple[int, ...]] = []
        at: tuple[int, int] | None = (row, rank)
        while at is not None:
            place = self.place(at[0])
            path.append((*at, place.team, int(place.starts[at[1]]), int(place.ends[at[1]])))
            at = self.before(*at)
        return PathPlaces(*np.array(path, dtype=np.int64).T)

    def before(self, row: int, rank: int) -> tuple[int, int] | None:
        """What a place waited for to its last moment; None where it starts at once."""
        place = self.place(row)
        step = place.timed.step
        if not step.links and step.receive == NO_MESSAGE:
            return self._waited_for(place, rank, step.waits)
        found = self._waited_for(place, rank, step.waits[: step.data])
        inputs = self._inputs(place)
        for link in step.links if found is None else ():
            found = found or self._sent_by(place, rank, place.first_row + link, is_message=False)
        if found is None and step.receive != NO_MESSAGE:
            send = int(self.sources(place.entry)[inputs + step.receive])
            found = None if send == NONE else self._sent_by(place, rank, send, is_message=True)
        return found or self._waited_for(place, rank, step.waits[step.data :])

    def place(self, row: int) -> RecordedStep:
        """What a row of the record is of."""
        table = self.table
        head = int(self._heads[np.searchsorted(table.rows[self._heads], row, side="right") - 1])
        number, rest = divmod(row - int(table.rows[head]), int(table.row_stride[head]))
        issue = head
        while rest >= self.program.step_counts[table.issues[issue, TEMPLATE]]:
            rest -= int(self.program.step_counts[table.issues[issue, TEMPLATE]])
            issue += 1
        columns = table.issues[issue]
        timed = self.program.templates[int(columns[TEMPLATE])].steps[rest]
        lane = self.program.lane_maps[columns[LANES] + timed.step.lane]
        starts = self.starts(row)[: self.program.widths[lane]]
        copy = int(columns[OFFSET]) + number if len(timed.duration) > 1 else 0
        entry = int(table.entries[issue] + number * table.entry_stride[issue])
        return RecordedStep(
            issue, number, row - rest, entry, int(lane) // 2, timed, starts, starts + timed.duration[copy]
        )

    def _inputs(self, place: RecordedStep) -> int:
        return self.program.templates[int(self.table.issues[place.issue, TEMPLATE])].structure.inputs

    def _waited_for(self, place: RecordedStep, rank: int, waits: Iterable[Wait]) -> tuple[int, int] | None:
        inputs = self._inputs(place)
        for wait in waits:
            is_inside = wait.value >= inputs
            row = place.first_row + wait.value - inputs if is_inside else int(self.sources(place.entry)[wait.value])
            if row == NONE:
                continue
            source = self.place(row)
            is_own = wait.lane is None and source.team == place.team
            found = _critical_rank(place, rank, source, is_own)
            if found is not None:
                return row, found
        return None

    def _sent_by(self, place: RecordedStep, rank: int, row: int, is_message: bool) -> tuple[int, int] | None:
        """A send, if it is what its receive waits for, by its start or by its end less the receive's duration."""
        send = self.place(row)
        is_own = is_message and send.starts.size == place.starts.size
        first = rank if is_own else int(send.starts.argmax())
        if send.starts[first] == place.starts[rank]:
            return row, first
        last = rank if is_own else int(send.ends.argmax())
        return (row, last) if send.ends[last] == place.ends[rank] else None


def _critical_rank(place: RecordedStep, rank: int, source: RecordedStep, is_own: bool) -> int | None:
    """The rank of a source whose end is the start: of another team its last; else the same rank, or of its group."""
    start = place.starts[rank]
    if not is_own:
        last = int(source.ends.argmax())
        return last if source.ends[last] == start else None
    if source.ends[rank] == start:
        return rank
    groups = place.timed.groups
    if groups is None or place.starts.size == 1:
        return None
    beside = groups[(groups == rank).any(axis=1)][0]
    critical = beside[source.ends[beside] == start]
    return int(critical.min()) if critical.size else None
