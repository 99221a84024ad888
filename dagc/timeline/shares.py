"""How the busiest stage on the critical path spends its time.

The stage is the team with the most time on the path, seen from its rank with the most time on the path. Its compute
lane is busy with nodes bound by memory or else by arithmetic; time in which only its communication lane is busy is
communication; the rest is bubble. For a phase that repeats, the time is one steady interval: overlap between a step
and the next is that between the last two periods that ran, because every period is like the one before.

Expands the steps of one rank, as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.graph.priced import Bound, NodeCost, Picoseconds
from dagc.timeline.execute import Executed
from dagc.timeline.path import CriticalPath
from dagc.timeline.tasks import Tasks
from dagc.timeline.timeline import Shares
from dagc.timeline.times import at


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Steps of one rank on one lane: starts and ends, ascending."""

    starts: Picoseconds
    ends: Picoseconds

    @property
    def total(self) -> int:
        """Occupied time."""
        return int((self.ends - self.starts).sum())

    def overlap(self, other: Busy) -> int:
        """Time in which both lanes are busy."""
        return int((other.before(self.ends) - other.before(self.starts)).sum())

    def before(self, times: Picoseconds) -> Picoseconds:
        """Occupied time before each of some times."""
        lengths = np.concatenate([[0], np.cumsum(self.ends - self.starts)])
        if not self.starts.size:
            return np.zeros_like(times)
        begun = np.searchsorted(self.starts, times, side="right")
        last = np.maximum(begun - 1, 0)
        unfinished = np.where(begun > 0, np.maximum(self.ends[last] - times, 0), 0)
        return lengths[begun] - unfinished


def phase_shares(
    tasks: Sequence[Tasks],
    costs: Sequence[Sequence[NodeCost]],
    path: CriticalPath,
    window: Sequence[list[Executed]],
    interval: int,
) -> Shares:
    """Shares of `interval`: what ran in the last period of `window`, over it."""
    spent = path.time_by_rank()
    if not spent or interval <= 0:
        return Shares(0.0, 0.0, 0.0, 1.0)
    team, rank = busiest(spent)
    periods = [[e for e in period if team in e.member.program.teams] for period in window]
    memory = sum(_memory_bound(tasks, costs, executed, team, rank) for executed in periods[-1])
    lanes = [occupied(period, team, rank) for period in periods]
    overlap = sum(a[0].overlap(b[1]) for a in lanes for b in lanes) - sum(a[0].overlap(a[1]) for a in lanes[:-1])
    compute = lanes[-1][0].total
    communication = max(0, lanes[-1][1].total - overlap)
    return _shares(compute - memory, memory, communication, max(interval, compute + communication))


def _shares(compute: int, memory: int, communication: int, whole: int) -> Shares:
    bubble = whole - compute - memory - communication
    return Shares(compute / whole, memory / whole, communication / whole, bubble / whole)


def busiest(spent: dict[tuple[int, int], int]) -> tuple[int, int]:
    """The team, and its rank, with the most time on the path; the first of equals."""
    teams: dict[int, int] = {}
    for (team, _), time in spent.items():
        teams[team] = teams.get(team, 0) + time
    busiest = max(teams, key=lambda team: (teams[team], -team))
    ranks = [rank for team, rank in spent if team == busiest]
    return busiest, max(ranks, key=lambda rank: (spent[busiest, rank], -rank))


def _memory_bound(
    tasks: Sequence[Tasks], costs: Sequence[Sequence[NodeCost]], executed: Executed, team: int, rank: int
) -> int:
    """Time of a rank's nodes that are bound by memory, over the copies of a segment."""
    member = executed.member
    template = member.segment.template
    return sum(
        _over_copies(task.duration, executed, rank)
        for task in tasks[template].tasks
        if task.lane % 2 == 0
        and member.program.teams[task.lane // 2] == team
        and costs[template][task.node].bound is Bound.MEMORY
    )


def _over_copies(duration: Picoseconds, executed: Executed, rank: int) -> int:
    if duration.ndim == 1:
        return executed.count * int(duration[rank if duration.size > 1 else 0])
    first = executed.member.offset
    return int(duration[first : first + executed.count, rank if duration.shape[1] > 1 else 0].sum())


def occupied(period: list[Executed], team: int, rank: int) -> tuple[Busy, Busy]:
    """Every step of a rank in a period, on the compute and on the communication lane."""
    return _busy(*_lane(period, team, rank, 0)), _busy(*_lane(period, team, rank, 1))


def _lane(period: list[Executed], team: int, rank: int, lane: int) -> tuple[list[_Table], list[int]]:
    """The steps of each segment on a lane, and how much later than these say they are."""
    known: dict[tuple[int, int, int, tuple[int, ...]], _Table] = {}
    tables: list[_Table] = []
    for executed in period:
        teams = executed.member.program.teams
        key = (id(executed.kept), executed.count, executed.member.offset, teams)
        table = known.get(key)
        if table is None:
            table = known[key] = _table(executed, _chosen(executed, team, lane), rank)
        tables.append(table)
    return tables, [at(executed.later, rank) for executed in period]


_Table = tuple[Picoseconds, Picoseconds]
"""Starts and ends of the steps of a segment on a lane, as its kept times say."""


def _chosen(executed: Executed, team: int, lane: int) -> list[int]:
    teams = executed.member.program.teams
    steps = enumerate(executed.steps.steps)
    return [i for i, step in steps if step.lane % 2 == lane and teams[step.lane // 2] == team]


def _table(executed: Executed, chosen: list[int], rank: int) -> _Table:
    steps = executed.steps
    copies = range(executed.explicit)
    begun: list[list[int]] = []
    for copy in copies:
        times, _ = executed.times(copy)
        begun.append([at(times.starts[i], rank) for i in chosen])
    rest = np.arange(1, executed.count - len(begun) + 1, dtype=np.int64) * at(executed.shift, rank)
    explicit = np.array(begun, dtype=np.int64)
    lengths = np.array(
        [[at(steps.steps[i].row(executed.row(copy)), rank) for i in chosen] for copy in copies], dtype=np.int64
    )
    table = np.concatenate([explicit, explicit[-1:] + rest[:, None]])
    ends = np.concatenate([explicit + lengths, (explicit + lengths)[-1:] + rest[:, None]])
    return table.ravel(), ends.ravel()


def _busy(tables: list[_Table], later: list[int]) -> Busy:
    if not tables:
        return Busy(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    shift = np.repeat(np.array(later, dtype=np.int64), [table[0].size for table in tables])
    starts = np.concatenate([table[0] for table in tables]) + shift
    ends = np.concatenate([table[1] for table in tables]) + shift
    taken = ends > starts
    order = np.argsort(starts[taken], kind="stable")
    return Busy(starts[taken][order], ends[taken][order])
