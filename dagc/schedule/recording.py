"""The times of a pass over an issue table: of all its steps, or of a part at a time where they are many.

A record holds the start of each step of each copy on each rank. What does not fit into `WHOLE_BYTES` is run again, part
by part, from the states that a first pass left behind.

A phase that follows itself has a steady-state interval. Decode steps are repeated until all that the next step depends
on (lanes, streams, messages under way) has shifted by one constant against the state `period` steps ago: from there on
every step repeats exactly (the step is a max-plus map F, with F(x + c) = F(x) + c), and the interval is that constant
over the period. Stages of unequal speed may need a period longer than one.

Where ranks never wait for each other (data-parallel attention without experts, uneven load) each of them settles at a
period of its own and no constant appears. Then, after `SAME_PERIOD` steps in which each kept its period, the interval
is that of the slowest. If even that does not come within `MOST_STEPS`, it is the mean over the second half of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import Ended, Executor, PathPlaces, Room, Snapshot, Walk
from dagc.schedule.order import periods_of_first_step, repeats
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

MOST_STEPS = 64
"""Steps after which no exact interval is waited for."""

LONGEST_PERIOD = 16
"""Longest period, in steps, that is recognised."""

SAME_PERIOD = 4
"""Equal consecutive shifts after which each rank counts as settled."""

SHOWN = 2
"""Periods after the first step that can be looked at; no fewer ever run where they are recorded."""

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


@dataclass(frozen=True, slots=True)
class Steady:
    """`interval` in picoseconds, rounded. `begins` are the states before the first periods after the first step and
    before the last two, by period.
    """

    interval: int
    begins: dict[int, Snapshot]
    last_period: int


def settle(first: Recording) -> Steady:
    """Go on from the state after the first step until the interval is known.

    The last two periods then take the place of the first step in the record of the executor, where that is whole.
    """
    executor, program = first.executor, first.program
    table, period = program.next_step, periods_of_first_step(program.graph)
    begins: dict[int, Snapshot] = {}

    def run(after: int) -> None:
        number = period + after
        begins[number] = executor.snapshot()
        begins.pop(number - SHOWN if number - SHOWN >= period + SHOWN else -1, None)
        record = (-row_of(first, number), None) if first.is_whole else None
        executor.run(table, range(len(table)), record=record)

    interval, periods = _settled(executor, run, SHOWN)
    return Steady(interval, begins, period + periods - 1)


def times_of(program: Program) -> tuple[int, int]:
    """Makespan and interval of a program, of which nothing is recorded."""
    table, repeated = program.first_step, program.next_step if repeats(program.graph) else None
    tables = (table,) if repeated is None or repeated is table else (table, repeated)
    executor = executor_of(program, program.templates, tables, Room(0, 0))
    ended = executor.run(table, range(len(table)))
    makespan = ended.makespan if ended else 0
    if repeated is None:
        return makespan, makespan
    return makespan, _settled(executor, lambda _: executor.run(repeated, range(len(repeated))), 1)[0]


def _settled(executor: Executor, run: Callable[[int], object], minimum: int) -> tuple[int, int]:
    """The interval, and how many periods ran until it was known (at least `minimum`); `run` runs one by number.

    Once a state is the one before and a constant, so is each that follows: further periods do not change the interval.
    """
    states = [executor.pending()]
    for number in range(MOST_STEPS):
        run(number)
        states.append(executor.pending())
        interval = _interval(states)
        if interval is not None and number + 1 >= minimum:
            return interval, number + 1
    half = len(states) // 2
    return round((int(states[-1].max()) - int(states[half].max())) / (len(states) - 1 - half)), MOST_STEPS


def row_of(first: Recording, number: int) -> int:
    """The row at which the record of the executor has one of the last two periods that ran."""
    return number % 2 * first.program.next_step.row_count


def _interval(states: list[Picoseconds]) -> int | None:
    for period in range(1, min(LONGEST_PERIOD, len(states) - 1) + 1):
        before, after = states[-1 - period], states[-1]
        if before.size == after.size and after.size:
            grown = after - before
            if bool((grown == grown[0]).all()):
                return round(int(grown[0]) / period)
    recent = states[-1 - SAME_PERIOD :]
    if len(recent) <= SAME_PERIOD or len({state.size for state in recent}) > 1:
        return None
    periods = np.diff(np.stack(recent), axis=0)
    return int(periods[0].max()) if bool((periods == periods[0]).all()) else None


def window_of(first: Recording, steady: Steady | None) -> tuple[Recording, ...]:
    """Recordings of the last two periods, the older one first; of a phase that does not repeat, of the only one."""
    if steady is None:
        return (first,)
    return tuple(period_of(first, steady, number) for number in (steady.last_period - 1, steady.last_period))


def period_of(first: Recording, steady: Steady, number: int) -> Recording:
    """The recording of a period after the first step, of the first or the last two that ran."""
    program = first.program
    return Recording(program, program.templates, program.next_step, steady.begins[number]).keep()
