"""The schedule of one phase: what a reader asks of it, worked out when it is read.

All times are integer picoseconds from the start of the phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dagc.graph.priced import Picoseconds, PricedPhase
from dagc.ops.op import Lane
from dagc.schedule import program as columns
from dagc.schedule.order import periods_of_first_step, repeats
from dagc.schedule.path import CriticalPath
from dagc.schedule.program import IssueTable, Program
from dagc.schedule.recording import SHOWN, WHOLE_BYTES, Recording, Steady, period_of, row_of, settle, window_of
from dagc.schedule.shares import Shares, Stretch, overlap_of, time_breakdown
from dagc.schedule.structure import LANES


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
        rows = [row_of(first, number) for number in (steady.last_period - 1, steady.last_period)]
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


@dataclass(slots=True)
class Run:
    """`count` copies of one segment of one stage for one micro-batch in one step, from copy `offset` of it on.

    `position` is that of the segment in the stage's program; `size` is the micro-batch's size index. `first_layer` is
    the layer of its first copy. A copy takes row `offset + copy` of a duration that differs between copies.

    Not frozen: a large plan has millions, and a frozen one takes six times as long to make.
    """

    step: int
    micro_batch: int
    size: int
    stage: int
    position: int
    template: int
    count: int
    first_layer: int | None
    offset: int
    issue: int
    recording: Recording = field(repr=False, compare=False)

    def start(self, copy: int, node: int) -> Picoseconds:
        """Start of a node in a copy, by rank, shape (1,) or (width,)."""
        recording, timed = self.recording, self.recording.templates[self.template]
        step, which = timed.structure.places[node]
        team = recording.program.graph.programs[self.size][self.stage].teams[timed.structure.steps[step].lane // 2]
        width = recording.program.widths[2 * team]
        steps = recording.steps_of(np.array([self.issue], dtype=np.int64), range(copy, copy + 1))
        start = steps[0, 0, step, :width]
        row = self.offset + copy
        return start + timed.offset(node, slice(row, row + 1))[0] if which else start

    def starts(self, copies: range) -> Picoseconds:
        """Starts in some copies, shape (copies, nodes, 1 or width of the widest team)."""
        return starts_of((self,), copies)[0]


def starts_of(runs: Sequence[Run], copies: range) -> Picoseconds:
    """Starts in some copies of runs of one segment in one recording, shape (runs, copies, nodes, 1 or widest width)."""
    first = runs[0]
    timed = first.recording.templates[first.template]
    issues = np.array([run.issue for run in runs], dtype=np.int64)
    found = first.recording.steps_of(issues, copies)[:, :, timed.step_of]
    rows = slice(first.offset + copies.start, first.offset + copies.stop)
    for node, (_, which) in enumerate(timed.structure.places):
        if which:
            offset = timed.offset(node, rows)
            found[:, :, node, : offset.shape[1] if offset.shape[1] > 1 else None] += offset
    return found


def pipeline_interval(makespan: int, filled: int, stages: int) -> float:
    """Picoseconds from one step of a pipeline to the next, of which `filled` is the makespan of one for each stage.

    The last of these ends so many intervals after the first one, no less than the mean time of a stage each.
    """
    return max((filled - makespan) / (stages - 1), makespan / stages)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The schedule of one phase.

    `makespan` is the end of the last node of step 0. `interval` is the steady-state time of a step (decode; equal to
    `makespan` elsewhere). `shares` are those of `busiest`, the team with the most time on the critical path and its
    rank with the most, None where nothing runs. `occupied` is by lane of the phase. Everything else is run again when
    it is read.
    """

    priced: PricedPhase
    makespan: int
    interval: int
    shares: Shares
    busiest: tuple[int, int] | None
    program: Program = field(repr=False)
    occupied: tuple[Picoseconds, ...] = field(repr=False)
    whole_bytes: int = WHOLE_BYTES

    @cached_property
    def first(self) -> Recording:
        """The pass over the first step."""
        return self._passes.first

    @cached_property
    def _passes(self) -> Passes:
        """What ran, once more, where the times were not kept."""
        passes = passes_of(self.program, self.whole_bytes, is_kept=True)
        passes.first.close()
        return passes

    @property
    def repeats(self) -> bool:
        """Whether the phase is a step that follows itself."""
        return repeats(self.program.graph)

    @cached_property
    def steady(self) -> Steady | None:
        """The steps after the first one."""
        return self._passes.steady

    @cached_property
    def runs(self) -> Sequence[Run]:
        """In the order of issue, up to the last of step 0."""
        return self._first_runs[: self._counted]

    @cached_property
    def later(self) -> Sequence[Run]:
        """Runs that follow `runs`, of some further steps of a phase that repeats."""
        found = self._first_runs[self._counted :]
        return found + [run for period, recording in self.recordings[1:] for run in _runs(recording, period)]

    @cached_property
    def _first_runs(self) -> list[Run]:
        return _runs(self.first, 0)

    @property
    def _counted(self) -> int:
        """Issues up to the last group that step 0 is in."""
        return counted(self.first.table)

    @cached_property
    def steps(self) -> int:
        """Steps, from step 0 on, of which all is there."""
        tables = [(self.program.first_step, 0)]
        if self.repeats:
            begin = periods_of_first_step(self.program.graph)
            tables += [(self.program.next_step, period) for period in range(begin, begin + SHOWN)]
        places = [
            table.issues[:, (columns.STEP, columns.MICRO_BATCH, columns.STAGE)] + (period, 0, 0)
            for table, period in tables
        ]
        steps, micro_batches, stages = np.concatenate(places, dtype=np.int64).T
        depth, width = int(micro_batches.max(initial=0)) + 1, int(stages.max(initial=0)) + 1
        # As one number each: rows of a table of millions are sorted far more slowly.
        invoked = np.unique((steps * depth + micro_batches) * width + stages) // (depth * width)
        counts = np.bincount(invoked)
        return int((counts == counts[0]).sum()) if counts.size else 0

    @property
    def recordings(self) -> list[tuple[int, Recording]]:
        """The recordings of `runs` and `later`, each with what its steps are counted from."""
        found = [(0, self.first)]
        if self.steady:
            begin = periods_of_first_step(self.program.graph)
            found += [(period, self._period(period)) for period in range(begin, begin + SHOWN)]
        return found

    def shown(self) -> Iterator[Run]:
        """The runs of those steps, in order."""
        return iter(self._shown)

    @cached_property
    def _shown(self) -> list[Run]:
        steps = self.steps
        return [run for runs in (self.runs, self.later) for run in runs if run.step < steps]

    @cached_property
    def path(self) -> CriticalPath:
        """The critical path of step 0."""
        return self._passes.path

    def _period(self, number: int) -> Recording:
        if number not in self._periods and self.steady:
            self._periods[number] = period_of(self.first, self.steady, number)
        return self._periods[number]

    @cached_property
    def _periods(self) -> dict[int, Recording]:
        return {}

    @property
    def busy(self) -> dict[tuple[int, Lane], Picoseconds]:
        """Time that a lane of a team is occupied in step 0, by rank, shape (1,) or (width,)."""
        return {(number // 2, LANES[number % 2]): time for number, time in enumerate(self.occupied)}

    @cached_property
    def breakdown(self) -> tuple[Stretch, ...]:
        """What `shares` sum up: stretches without a gap, of one rank over the phase or one steady-state interval."""
        return time_breakdown(self.busiest, window_of(self.first, self.steady), self.interval)

    @cached_property
    def slack(self) -> dict[tuple[int, int, int], tuple[int, ...]]:
        """By (size, stage, position) and node of the segment's template, the least time by which any of its executions
        could be later without moving the end of step 0.
        """
        from dagc.schedule.slack import minimum_slack

        return minimum_slack(self.first, self._counted)


def counted(table: IssueTable) -> int:
    """Issues of a table up to the last group that step 0 is in."""
    counts = np.flatnonzero(table.column(columns.COUNTS))
    if not counts.size:
        return 0
    after = np.flatnonzero(table.column(columns.MEMBERS)[counts[-1] + 1 :])
    return int(counts[-1]) + 1 + int(after[0]) if after.size else len(table)


def _runs(recording: Recording, period: int) -> list[Run]:
    graph, table = recording.program.graph, recording.table
    found: list[Run] = []
    place = columns.STEP, columns.MICRO_BATCH, columns.SIZE, columns.STAGE, columns.POSITION
    rows: list[list[int]] = table.issues[:, (*place, columns.TEMPLATE, columns.COUNT, columns.OFFSET)].tolist()
    for issue, (step, micro_batch, size, stage, position, template, count, offset) in enumerate(rows):
        first = graph.programs[size][stage].segments[position].first_layer
        layer = None if first is None else first + offset
        at = step + period, micro_batch, size, stage, position
        found.append(Run(*at, template, count, layer, offset, issue, recording))
    return found
