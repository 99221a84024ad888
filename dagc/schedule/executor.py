"""What runs a program: its state and its record, as arrays.

`kernel.Kernel` is the compiled loop, `interpreter.Interpreter` the same in Python, for small programs and as its
oracle. Both map the state (ready times of lanes, streams and messages) through copies of templates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.structure import NONE

if TYPE_CHECKING:
    from dagc.schedule.program import Int64, IssueTable, Program
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
    """PathPlaces of the critical path, from the last to the first: row of the record, rank, team, start and end."""

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
