"""The times of a pass over an issue table: of all its steps, or of a part at a time where they are many.

A record holds the start of each step of each copy on each rank. What does not fit into `WHOLE_BYTES` is run again, part
by part, from the states that a first pass left behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import Ended, Executor, PathPlaces, Room, Snapshot
from dagc.schedule.program import MEMBERS, TEMPLATE, IssueTable, Program
from dagc.schedule.template import TimedTemplate
from dagc.schedule.walk import Walk
from dagc.wasm import NoAddressSpace

WHOLE_BYTES = 256 << 20
"""The largest record that is held at once."""

PART_BYTES = 32 << 20
"""A part of a larger one; an issue group is never cut."""

_HELD = 3
"""Parts that are held."""


def _executor(
    program: Program, templates: Sequence[TimedTemplate], tables: Sequence[IssueTable], record: Room, is_scratch: bool
) -> Executor:
    """The compiled loop, or the interpreter where there is no address space for its engine."""
    from dagc.schedule.kernel import Kernel

    try:
        return Kernel(program, templates, tables, record, is_scratch)
    except NoAddressSpace:
        from dagc.schedule.interpreter import Interpreter

        return Interpreter(program, templates, record)


class Recording:
    """A pass over a table from a state; `begin` is None for the state in which nothing has run.

    `ended` is when the issues that count are done, `executor` has run them and holds the state afterwards.
    """

    def __init__(
        self,
        program: Program,
        templates: Sequence[TimedTemplate],
        table: IssueTable,
        begin: Snapshot | None = None,
        *,
        repeated: IssueTable | None = None,
        is_scratch: bool = False,
        is_reversed: bool = False,
        floor: int = 0,
        whole_bytes: int = WHOLE_BYTES,
    ) -> None:
        """`repeated` is the table of periods that the executor will run afterwards. Of a scratch recording times are
        there until the next one.
        """
        self.program, self.templates, self.table = program, templates, table
        self._is_reversed, self._floor = is_reversed, floor
        self._parts = _parts(program, table, whole_bytes)
        room = [_room(table, part) for part in self._parts]
        record = Room(
            rows=max(part[1] for part in room),
            entries=max(part[3] for part in room),
            window_rows=repeated.row_count if repeated and self.is_whole else 0,
        )
        tables = (table,) if repeated is None or repeated is table else (table, repeated)
        self.executor = _executor(program, templates, tables, record, is_scratch)
        if begin is not None:
            self.executor.restore(begin)
        self._snapshots: dict[int, Snapshot] = {}
        self._held: dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]] = {}
        self.ended = self._first_pass()

    @property
    def is_whole(self) -> bool:
        """Whether all times are held."""
        return len(self._parts) == 1

    def _first_pass(self) -> Ended | None:
        if self.is_whole:
            return self._run(self._parts[0], record=(0, 0))
        last: Ended | None = None
        numbers = range(len(self._parts))
        for number in reversed(numbers) if self._is_reversed else numbers:
            self._snapshots[number] = self.executor.snapshot()
            ended = self._run(self._parts[number])
            if ended and (last is None or ended.makespan > last.makespan):
                last = ended
        return last

    def _run(self, issues: range, record: tuple[int, int] | None = None) -> Ended | None:
        return self.executor.run(self.table, issues, record=record, is_reversed=self._is_reversed, floor=self._floor)

    def _part(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Starts by row and sources by entry of a part."""
        if self.is_whole:
            return self.executor.starts, self.executor.sources
        found = self._held.pop(number, None)
        if found is None:
            first_row, rows, first_entry, entries = _room(self.table, self._parts[number])
            after = self.executor.snapshot()
            self.executor.restore(self._snapshots[number])
            self._run(self._parts[number], (first_row, first_entry))
            self.executor.restore(after)
            found = self.executor.starts[:rows].copy(), self.executor.sources[:entries].copy()
            if len(self._held) == _HELD:
                del self._held[next(iter(self._held))]
        self._held[number] = found
        return found

    def _part_of(self, issue: int) -> int:
        return next(number for number, part in enumerate(self._parts) if issue < part.stop)

    def steps_of(self, issues: npt.NDArray[np.int64], copies: range) -> Picoseconds:
        """Starts of the steps in some copies of issues that are alike in template and lock step, shape (issues, copies,
        steps, ranks).
        """
        table = self.table
        copy = np.arange(copies.start, copies.stop)[:, None]
        steps = np.arange(len(self.templates[int(table.issues[issues[0], TEMPLATE])].steps))
        rows = table.rows[issues][:, None, None] + table.row_stride[issues][:, None, None] * copy + steps
        if self.is_whole:
            return self.executor.starts[rows]
        found = np.empty((*rows.shape, self.program.ranks), dtype=np.int64)
        for number, issue in enumerate(issues.tolist()):
            part = self._part_of(issue)
            found[number] = self._part(part)[0][rows[number] - _room(table, self._parts[part])[0]]
        return found

    def sources(self, entry: int) -> npt.NDArray[np.int32]:
        """The rows that the inputs of a copy come from."""
        issue = int(np.searchsorted(self.table.entries, entry, side="right")) - 1
        part = self._part_of(issue)
        return self._part(part)[1][entry - _room(self.table, self._parts[part])[2]]

    def starts(self, row: int) -> Picoseconds:
        """Starts of one step by rank."""
        issue = int(np.searchsorted(self.table.rows, row, side="right")) - 1
        part = self._part_of(issue)
        return self._part(part)[0][row - _room(self.table, self._parts[part])[0]]

    def walk_back(self, row: int, rank: int) -> PathPlaces:
        """The critical path back from a row and a rank."""
        if self.is_whole:
            return self.executor.walk_back(self.table, row, rank)
        return Walk(self.program, self.table, self.starts, self.sources).back(row, rank)


def _parts(program: Program, table: IssueTable, whole_bytes: int) -> list[range]:
    """The issues of each part: all of them, or whole groups up to `PART_BYTES`."""
    row_bytes = 8 * program.ranks
    whole = table.row_count * row_bytes + 4 * table.entry_count * program.state.most_inputs
    if whole <= whole_bytes:
        return [range(len(table))]
    heads = np.flatnonzero(table.column(MEMBERS))
    most = max(1, min(PART_BYTES, whole_bytes) // row_bytes)
    cuts = heads[np.flatnonzero(np.diff(table.rows[heads] // most, prepend=-1))]
    return [range(begin, end) for begin, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(table)], strict=True)]


def _room(table: IssueTable, part: range) -> tuple[int, int, int, int]:
    """First row and rows, first entry and entries of a part."""
    ends = table.row_count, table.entry_count
    if part.stop < len(table):
        ends = int(table.rows[part.stop]), int(table.entries[part.stop])
    if not len(part):
        return 0, 0, 0, 0
    first_row, first_entry = int(table.rows[part.start]), int(table.entries[part.start])
    return first_row, ends[0] - first_row, first_entry, ends[1] - first_entry
