"""The critical path: the chain of node executions that decides the end of step 0, as columns.

What asks for totals or for the nodes that are on it reads columns; executions are spelt out one by one when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from dagc.schedule.executor import PathPlaces
from dagc.schedule.program import COUNT, COUNTS, LANES, MEMBERS, OFFSET, POSITION, SIZE, STAGE, TEMPLATE, Int64
from dagc.schedule.structure import NONE

if TYPE_CHECKING:
    from dagc.schedule.recording import Recording


@dataclass(frozen=True, slots=True)
class PathSlot:
    """One node execution on the critical path: `runs[run]`, its copy, the node, the team's local rank, its times."""

    run: int
    copy: int
    node: int
    rank: int
    start: int
    end: int


class PathSegment(NamedTuple):
    """The time that the path takes from where it enters a run to where it leaves it."""

    run: int
    start: int
    end: int


class CriticalPath(Sequence[PathSlot]):
    """Node executions from time 0 to the makespan, in the order of time."""

    def __init__(self, recording: Recording) -> None:
        """Of a pass over the first step; `places` are from the last end of step 0 back to its start."""
        self._recording = recording
        last = _last_place(recording)
        self.places = recording.walk_back(*last) if last else PathPlaces(*np.zeros((5, 0), dtype=np.int64))

    @cached_property
    def columns(self) -> Int64:
        """Run, copy, node, rank, start and end of each node execution, shape (6, executions)."""
        recording, table = self._recording, self._recording.table
        rows, rank, _, begun, _ = (column[::-1] for column in self.places)
        issue, copy, step = _issues(recording, rows)
        template = table.column(TEMPLATE)[issue]
        row = table.column(OFFSET)[issue] + copy
        most = max(len(one.costs) for one in recording.templates)
        places: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        found: list[Int64] = [np.zeros((6, 0), dtype=np.int64)]
        for number, one in enumerate(recording.templates):
            for index, timed in enumerate(one.steps):
                at = np.flatnonzero((template == number) & (step == index))
                if not at.size:
                    continue
                bounds = [_at(one, row[at], rank[at]) for one in (*timed.offsets, timed.duration)]
                for which, (begin, end) in enumerate(pairwise(bounds)):
                    node = np.full(at.size, timed.step.nodes[which])
                    found.append(np.stack([issue[at], copy[at], node, rank[at], begun[at] + begin, begun[at] + end]))
                    places.append(at * most + which)
        order = np.argsort(np.concatenate(places), kind="stable")
        return np.concatenate(found, axis=1)[:, order]

    def __len__(self) -> int:
        """Node executions."""
        return self.columns.shape[1]

    @overload
    def __getitem__(self, index: int) -> PathSlot: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PathSlot, ...]: ...
    def __getitem__(self, index: int | slice) -> PathSlot | tuple[PathSlot, ...]:
        """One of the executions, or some."""
        if isinstance(index, slice):
            return tuple(_slots(self.columns[:, index]))
        return next(_slots(self.columns[:, [index]]))

    def __iter__(self) -> Iterator[PathSlot]:
        """All executions."""
        return _slots(self.columns)

    def walk(self, spelt: Callable[[int], bool]) -> Iterator[PathSlot | PathSegment]:
        """The path in the order of time, without a gap: node by node in the runs that are to be `spelt`, the others
        crossed as a whole.
        """
        run, *_, start, end = self.columns
        bounds = [*np.flatnonzero(np.diff(run, prepend=-1)).tolist(), run.size]
        for first, stop in pairwise(bounds):
            if spelt(int(run[first])):
                yield from _slots(self.columns[:, first:stop])
            else:
                yield PathSegment(int(run[first]), int(start[first]), int(end[stop - 1]))

    @cached_property
    def nodes(self) -> frozenset[tuple[int, int, int, int]]:
        """(size, stage, position, node) of each node with an execution on the path."""
        run, _, node, *_ = self.columns
        return self._distinct(run, node)

    @cached_property
    def edges(self) -> frozenset[tuple[int, int, int, int, int]]:
        """(size, stage, position, node, next node) of nodes that follow each other on the path in one copy."""
        run, copy, node, *_ = self.columns
        follows = (np.diff(run) == 0) & (np.diff(copy) == 0)
        return self._distinct(run[:-1][follows], node[:-1][follows], node[1:][follows])

    def _distinct(self, run: Int64, *columns: Int64) -> frozenset[Any]:
        """(size, stage, position) of runs with what is given beside, each once."""
        places = self._recording.table.issues[run][:, (SIZE, STAGE, POSITION)]
        rows = np.concatenate([places, np.stack(columns, axis=1)], axis=1)
        return frozenset(map(tuple, np.unique(rows, axis=0).tolist()))

    def receives(self, places: slice) -> npt.NDArray[np.bool_]:
        """Whether each of some places is a step that takes a message."""
        recording = self._recording
        issue, _, step = _issues(recording, self.places.row[places])
        template = recording.table.column(TEMPLATE)[issue]
        steps = [recording.templates[int(t)].steps[int(s)].step for t, s in zip(template, step, strict=True)]
        return np.array([bool(one.links) or one.receive != NONE for one in steps], dtype=np.bool_)

    @property
    def busiest(self) -> tuple[int, int] | None:
        """The team with the most time on the path, and its rank with the most; the first of equals. None where nothing
        runs.
        """
        places = self.places
        if not places.row.size:
            return None
        duration = places.end - places.start
        by_team = np.bincount(places.team, duration)
        team = int(by_team.argmax())
        by_rank = np.bincount(places.rank[places.team == team], duration[places.team == team])
        return team, int(by_rank.argmax())


def _slots(columns: Int64) -> Iterator[PathSlot]:
    return (PathSlot(*slot) for slot in columns.T.tolist())


def _issues(recording: Recording, rows: Int64) -> tuple[Int64, Int64, Int64]:
    """The issue, its copy and the step of rows of a record."""
    table, counts = recording.table, recording.program.step_counts
    heads = np.flatnonzero((table.column(MEMBERS) > 0) & (table.row_stride > 0))
    issue = heads[np.searchsorted(table.rows[heads], rows, side="right") - 1]
    copy, step = np.divmod(rows - table.rows[issue], table.row_stride[issue])
    while (beyond := step >= counts[table.column(TEMPLATE)[issue]]).any():
        step = np.where(beyond, step - counts[table.column(TEMPLATE)[issue]], step)
        issue = issue + beyond
    return issue, copy, step


def _at(table: npt.NDArray[np.int64], row: Int64, rank: Int64) -> Int64:
    """Entries of a table by copy and rank, of which either may have one alone."""
    return table[row if table.shape[0] > 1 else 0, rank if table.shape[1] > 1 else 0] + np.zeros_like(row)


def _last_place(recording: Recording) -> tuple[int, int] | None:
    """The row and rank of the first step of step 0, in the order of issue, that ends with the phase in a last copy."""
    ended, table = recording.ended, recording.table
    if ended is None:
        return None
    head = ended.issue
    while not table.issues[head, MEMBERS]:
        head -= 1
    for issue in range(head, head + int(table.issues[head, MEMBERS])):
        counts, last = int(table.issues[issue, COUNTS]), int(table.issues[issue, COUNT]) - 1
        template = recording.templates[int(table.issues[issue, TEMPLATE])]
        for index, timed in enumerate(template.steps if counts else ()):
            row = int(table.rows[issue] + last * table.row_stride[issue]) + index
            copy = int(table.issues[issue, OFFSET]) + last if len(timed.duration) > 1 else 0
            lane = recording.program.lane_maps[table.issues[issue, LANES] + timed.step.lane]
            ends = recording.starts(row)[: recording.program.widths[lane]] + timed.duration[copy]
            if int(ends.max()) == ended.makespan:
                return row, int(ends.argmax())
    return None
