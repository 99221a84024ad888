"""How the busiest stage on the critical path spends its time.

The stage is the team with the most time on the path, seen from its rank with the most time on the path. Its compute
lane is busy with nodes bound by memory or else by arithmetic; time in which only its communication lane is busy is
communication; the rest is bubble. For a phase that repeats, the time is one steady interval: overlap between a step
and the next is that between the last two periods that ran, because every period is like the one before.

Expands the slots of one rank, as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import Bound, NodeCost, Picoseconds
from dagc.timeline.execute import Executed
from dagc.timeline.history import History
from dagc.timeline.tasks import Task
from dagc.timeline.timeline import PathSlot, Shares


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Slots of one rank on one lane: starts and ends, ascending."""

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
    graph: PhaseGraph,
    costs: Sequence[Sequence[NodeCost]],
    history: History,
    path: Sequence[PathSlot],
    window: Sequence[list[Executed]],
    interval: int,
) -> Shares:
    """Shares of `interval`: what ran in the last period of `window`, over it."""
    if not path or interval <= 0:
        return Shares(0.0, 0.0, 0.0, 1.0)
    team, rank = _busiest(history, path)
    periods = [[e for e in period if team in e.member.program.teams] for period in window]
    memory = _memory_bound(history, costs, periods[-1], team, rank)
    lanes = [[_lane(history, period, team, lane, rank) for lane in (0, 1)] for period in periods]
    overlap = sum(a[0].overlap(b[1]) for a in lanes for b in lanes) - sum(a[0].overlap(a[1]) for a in lanes[:-1])
    compute = lanes[-1][0].total
    communication = max(0, lanes[-1][1].total - overlap)
    return _shares(compute - memory, memory, communication, max(interval, compute + communication))


def _shares(compute: int, memory: int, communication: int, whole: int) -> Shares:
    bubble = whole - compute - memory - communication
    return Shares(compute / whole, memory / whole, communication / whole, bubble / whole)


def _busiest(history: History, path: Sequence[PathSlot]) -> tuple[int, int]:
    """The team, and its rank, with the most time on the path; the first of equals."""
    teams: dict[int, int] = {}
    ranks: dict[tuple[int, int], int] = {}
    for place in path:
        executed = history.executed[place.run]
        lane = history.tasks_of(place.run).tasks[place.node].lane
        team = executed.member.program.teams[lane // 2]
        teams[team] = teams.get(team, 0) + place.end - place.start
        ranks[team, place.rank] = ranks.get((team, place.rank), 0) + place.end - place.start
    team = max(teams, key=lambda key: (teams[key], -key))
    return team, max((key[1] for key in ranks if key[0] == team), key=lambda rank: (ranks[team, rank], -rank))


def _tasks(history: History, executed: Executed, team: int, lane: int) -> list[Task]:
    tasks = history.tasks[executed.member.segment.template].tasks
    return [t for t in tasks if t.lane % 2 == lane and executed.member.program.teams[t.lane // 2] == team]


def _memory_bound(
    history: History, costs: Sequence[Sequence[NodeCost]], period: list[Executed], team: int, rank: int
) -> int:
    return sum(
        executed.count * _at(task.duration, rank)
        for executed in period
        for task in _tasks(history, executed, team, 0)
        if costs[executed.member.segment.template][task.node].bound is Bound.MEMORY
    )


def _lane(history: History, period: list[Executed], team: int, lane: int, rank: int) -> Busy:
    """Every slot of a rank on a lane in a period."""
    starts: list[Picoseconds] = [np.empty(0, dtype=np.int64)]
    ends: list[Picoseconds] = [np.empty(0, dtype=np.int64)]
    for executed in period:
        tasks = [task for task in _tasks(history, executed, team, lane) if _at(task.duration, rank) > 0]
        first = [[_at(copy[task.node], rank) for task in tasks] for copy in executed.starts]
        later = np.arange(1, executed.count - len(first) + 1, dtype=np.int64) * executed.shift
        table = np.concatenate([np.array(first, dtype=np.int64), np.array(first[-1:], dtype=np.int64) + later[:, None]])
        starts.append(table.ravel())
        lengths = np.array([_at(task.duration, rank) for task in tasks], dtype=np.int64)
        ends.append((table + lengths).ravel())
    begin, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(begin, kind="stable")
    return Busy(begin[order], end[order])


def _at(time: int | Picoseconds, rank: int) -> int:
    if isinstance(time, int):
        return time
    return int(time[rank]) if time.shape[0] > 1 else int(time[0])
