"""The slices of a trace as tables of columns, some ten thousand at a time.

Turns the runs of step 0 into start, end, track and names, by vectors over the shown ranks. Start and end are both
rounded down to nanoseconds, so slices that touch still touch and none overlaps; what takes no time is left out. On
each track slices come in the order of time. Memory is that of one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.export.times import duration_of, of_ranks
from dagc.export.titles import team_of
from dagc.export.tracks import LANES, PhaseTracks
from dagc.graph.graph import Node
from dagc.timeline.timeline import Run

TABLE = 50_000
"""Slices of a table, and up to one execution of an operator more."""

Column = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SliceTable:
    """Columns of equal length. `start` and `end` in ns, `name` an index into `Names`; `layer` is -1 where none."""

    pid: Column
    tid: Column
    start: Column
    end: Column
    name: Column
    micro_batch: Column
    layer: Column


@dataclass(slots=True)
class Names:
    """(key, category) of all operators seen so far, numbered from 0."""

    numbers: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def number(self, node: Node) -> int:
        """The number of an operator's name."""
        return self.numbers.setdefault((node.key, node.op.category.value), len(self.numbers))


def slice_tables(phases: Iterable[PhaseTracks], names: Names) -> Iterator[SliceTable]:
    """All slices of the shown ranks; `names` fills as they come."""
    kept = _Kept()
    for phase in phases:
        for run in phase.timeline.runs:
            if run.step == 0:
                yield from _run_slices(phase, run, names, kept)
    if kept.size:
        yield kept.take()


@dataclass(slots=True)
class _Kept:
    """Slices not yet in a table: starts, ends and tracks by execution, and what all ranks of one share."""

    size: int = 0
    starts: list[Column] = field(default_factory=list[Column])
    ends: list[Column] = field(default_factory=list[Column])
    tids: list[Column] = field(default_factory=list[Column])
    shared: list[tuple[int, int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int, int]])

    def take(self) -> SliceTable:
        pid, name, batch, layer, count = np.array(self.shared, dtype=np.int64).T
        common = (np.repeat(column, count) for column in (pid, name, batch, layer))
        pids, of_name, batches, layers = common
        starts, ends, tids = (np.concatenate(column) for column in (self.starts, self.ends, self.tids))
        self.size, self.starts, self.ends, self.tids, self.shared = 0, [], [], [], []
        return SliceTable(pids, tids, starts, ends, of_name, batches, layers)


def _run_slices(phase: PhaseTracks, run: Run, names: Names, kept: _Kept) -> Iterator[SliceTable]:
    graph = phase.timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    nodes = graph.templates[run.template].nodes
    shown = [phase.teams[team_of(teams, node)] for node in nodes]
    if not any(team.local.size for team in shown):
        return
    numbers = [names.number(node) for node in nodes]
    tids = [
        team.first_thread + LANES.index(node.op.lane) + len(LANES) * np.arange(team.local.size, dtype=np.int64)
        for team, node in zip(shown, nodes, strict=True)
    ]
    for copy in range(run.count):
        layer = -1 if run.first_layer is None else run.first_layer + copy
        for index, team in enumerate(shown):
            if not team.local.size:
                continue
            begun = phase.begin + of_ranks(run.start(copy, index), team.local)
            done = (begun + of_ranks(duration_of(phase.timeline, run, copy, index), team.local)) // 1000
            begun //= 1000
            takes_time = done > begun
            if not takes_time.any():
                continue
            kept.starts.append(begun[takes_time])
            kept.ends.append(done[takes_time])
            kept.tids.append(tids[index][takes_time])
            count = int(takes_time.sum())
            kept.shared.append((team.pid, numbers[index], run.micro_batch, layer, count))
            kept.size += count
            if kept.size >= TABLE:
                yield kept.take()
