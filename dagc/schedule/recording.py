"""The times of a pass over an issue table: of all its steps, or of a part at a time where they are many.

A record holds the start of each step of each copy on each rank. What does not fit into `WHOLE_BYTES` is run again, part
by part, from the states that a first pass left behind.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import Ended, Executor, PathPlaces, Room, Snapshot
from dagc.schedule.program import MEMBERS, TEMPLATE, IssueTable, Program
from dagc.schedule.template import TimedTemplate

WHOLE_BYTES = 256 << 20
"""The largest record that is held at once."""

PART_BYTES = 32 << 20
"""A part of a larger one; an issue group is never cut."""

_HELD = 3
"""Parts that are held."""

MOST_INTERPRETED = 8_000
"""Steps on ranks that a process interprets, in about the time in which it would load the engine of the kernel."""

_interpreted: list[int] = []
"""Those of each program."""

Times = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""Starts by row, shape (rows, ranks), and sources by entry, shape (entries, inputs)."""


def executor_of(
    program: Program, templates: Sequence[TimedTemplate], tables: Sequence[IssueTable], record: Room
) -> Executor:
    """The compiled loop; the interpreter for little work, and where there is no address space for the loop's engine."""
    from dagc.schedule.interpreter import Interpreter

    steps = max(record.rows, tables[0].row_count) * program.ranks
    if "wasmtime" not in sys.modules and sum(_interpreted) + steps <= MOST_INTERPRETED:
        _interpreted.append(steps)
        return Interpreter(program, templates, record)
    from dagc.schedule.kernel import Kernel
    from dagc.wasm import NoAddressSpace

    try:
        return Kernel(program, templates, tables, record)
    except NoAddressSpace:
        return Interpreter(program, templates, record)


class Recording:
    """A pass over a table from a state; `begin` is None for the state in which nothing has run.

    `ended` is when the issues that count are done, `executor` has run them and holds the state afterwards. Its memory
    is that of all executors: times can be read until another one is made, and afterwards where they were kept.
    """

    def __init__(
        self,
        program: Program,
        templates: Sequence[TimedTemplate],
        table: IssueTable,
        begin: Snapshot | None = None,
        *,
        repeated: IssueTable | None = None,
        is_reversed: bool = False,
        floor: int = 0,
        whole_bytes: int = WHOLE_BYTES,
    ) -> None:
        """`repeated` is the table of periods that the executor will run afterwards."""
        self.program, self.templates, self.table = program, templates, table
        self._is_reversed, self._floor = is_reversed, floor
        self._parts = _parts(program, table, whole_bytes)
        self._whole: Times | None = None
        self._snapshots: dict[int, Snapshot] = {}
        self._held: dict[int, Times] = {}
        self._live: Executor | None = self._executor(repeated)
        if begin is not None:
            self._live.restore(begin)
        self.ended = self._first_pass()

    @property
    def executor(self) -> Executor:
        """What has run it; made again where it was forgotten."""
        if self._live is None:
            return self._executor()
        return self._live

    def close(self) -> None:
        """Forget the executor, whose memory another program may take."""
        self._live = None

    def _executor(self, repeated: IssueTable | None = None) -> Executor:
        room = [_room(self.table, part) for part in self._parts]
        windows = 2 * repeated.row_count if repeated and self.is_whole else 0
        record = Room(max(windows, *(part[1] for part in room)), max(part[3] for part in room))
        tables = (self.table,) if repeated is None or repeated is self.table else (self.table, repeated)
        return executor_of(self.program, self.templates, tables, record)

    @property
    def is_whole(self) -> bool:
        """Whether all times are held at once."""
        return len(self._parts) == 1

    def keep(self) -> Self:
        """Hold the times beyond this pass; those of a recording in parts are run again when they are read."""
        self.copy_times()
        self.close()
        return self

    def copy_times(self) -> None:
        """Copy the times out of the memory of the executor, where they are held at once."""
        if self.is_whole:
            executor, table = self.executor, self.table
            self._whole = executor.starts[: table.row_count].copy(), executor.sources[: table.entry_count].copy()

    def _first_pass(self) -> Ended | None:
        executor = self.executor
        if self.is_whole:
            return self._run(executor, self._parts[0], record=(0, 0))
        last: Ended | None = None
        numbers = range(len(self._parts))
        for number in reversed(numbers) if self._is_reversed else numbers:
            self._snapshots[number] = executor.snapshot()
            ended = self._run(executor, self._parts[number])
            if ended and (last is None or ended.makespan > last.makespan):
                last = ended
        return last

    def _run(self, executor: Executor, issues: range, record: tuple[int, int] | None = None) -> Ended | None:
        return executor.run(self.table, issues, record=record, is_reversed=self._is_reversed, floor=self._floor)

    def _part(self, number: int) -> Times:
        """Starts by row and sources by entry of a part."""
        if self.is_whole:
            return self._whole or (self.executor.starts, self.executor.sources)
        found = self._held.pop(number, None)
        if found is None:
            first_row, rows, first_entry, entries = _room(self.table, self._parts[number])
            executor = self.executor
            after = executor.snapshot()
            executor.restore(self._snapshots[number])
            self._run(executor, self._parts[number], (first_row, first_entry))
            executor.restore(after)
            found = executor.starts[:rows].copy(), executor.sources[:entries].copy()
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
            return self._part(0)[0][rows]
        found = np.empty((*rows.shape, self.program.ranks), dtype=np.int64)
        for number, issue in enumerate(issues.tolist()):
            part = self._part_of(issue)
            found[number] = self._part(part)[0][rows[number] - _room(table, self._parts[part])[0]]
        return found

    def sources(self, entry: int) -> list[int]:
        """The rows that the inputs of a copy come from."""
        issue = int(np.searchsorted(self.table.entries, entry, side="right")) - 1
        part = self._part_of(issue)
        return self._part(part)[1][entry - _room(self.table, self._parts[part])[2]].tolist()

    def starts(self, row: int) -> list[int]:
        """Starts of one step by rank."""
        issue = int(np.searchsorted(self.table.rows, row, side="right")) - 1
        part = self._part_of(issue)
        return self._part(part)[0][row - _room(self.table, self._parts[part])[0]].tolist()

    def walk_back(self, row: int, rank: int) -> PathPlaces:
        """The critical path back from a row and a rank."""
        if self.is_whole and self._live:
            return self._live.walk_back(self.table, row, rank)
        from dagc.schedule.walk import Walk

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
