"""The steady-state interval of a phase that follows itself.

Repeats decode steps until all that the next step depends on (lanes, streams, messages under way) has shifted by one
constant against the state `period` steps ago: from there on every step repeats exactly (the step is a max-plus map F,
with F(x + c) = F(x) + c), and the interval is that constant over the period. Stages of unequal speed may need a period
longer than one.

Where ranks never wait for each other (data-parallel attention without experts, uneven load) each of them settles at a
period of its own and no constant appears. Then, after `SAME_PERIOD` steps in which each kept its period, the interval
is that of the slowest. If even that does not come within `MOST_STEPS`, it is the mean over the second half of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.schedule.executor import Executor, Room, Snapshot
from dagc.schedule.order import periods_of_first_step, repeats
from dagc.schedule.path import CriticalPath
from dagc.schedule.program import Program
from dagc.schedule.recording import Recording, executor_of
from dagc.schedule.shares import overlap_of

MOST_STEPS = 64
"""Steps after which no exact interval is waited for."""

LONGEST_PERIOD = 16
"""Longest period, in steps, that is recognised."""

SAME_PERIOD = 4
"""Equal consecutive shifts after which each rank counts as settled."""

SHOWN = 2
"""Periods after the first step that can be looked at; no fewer ever run where they are recorded."""


@dataclass(frozen=True, slots=True)
class Steady:
    """`interval` in picoseconds, rounded. `begins` are the states before the first periods after the first step and
    before the last two, by period.
    """

    interval: int
    begins: dict[int, Snapshot]
    last_period: int


class Passes(NamedTuple):
    """What has run of a program: the first step, with its critical path, and the steps after it where it repeats."""

    first: Recording
    path: CriticalPath
    steady: Steady | None

    def overlap(self, team: int, rank: int) -> int:
        """Time of the last period in which both lanes of a rank are busy, one of them perhaps in the period before."""
        first, steady = self.first, self.steady
        if not first.is_whole:
            return overlap_of(window_of(first, steady), team, rank)
        if steady is None:
            return first.executor.overlap(first.table, (0,), team, rank)
        rows = [_row_of(first, number) for number in (steady.last_period - 1, steady.last_period)]
        return first.executor.overlap(first.program.next_step, rows, team, rank)


def passes_of(program: Program, whole_bytes: int, is_kept: bool) -> Passes:
    """Run a program. Of a first step that is not kept, times are there until another program runs."""
    is_repeated = repeats(program.graph)
    repeated = program.next_step if is_repeated else None
    first = Recording(program, program.templates, program.first_step, repeated=repeated, whole_bytes=whole_bytes)
    path = CriticalPath(first)
    if is_kept:
        first.copy_times()
    return Passes(first, path, settle(first) if is_repeated else None)


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
        record = (-_row_of(first, number), None) if first.is_whole else None
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


def _row_of(first: Recording, number: int) -> int:
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
