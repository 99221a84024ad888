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
import numpy.typing as npt

from dagc.graph.priced import Bound, NodeCost, Picoseconds
from dagc.timeline.execute import Executed
from dagc.timeline.path import CriticalPath
from dagc.timeline.tasks import Tasks
from dagc.timeline.timeline import Shares
from dagc.timeline.times import at

_NEVER = -(1 << 61)
"""When what never ran has ended."""

_NOTHING: Picoseconds = np.empty(0, dtype=np.int64)


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
        count = self.starts.size
        if not count or not other.starts.size:
            return 0
        if self.ends[-1] <= other.starts[0] or other.ends[-1] <= self.starts[0]:
            return 0
        before = other.before(np.concatenate([self.starts, self.ends]))
        return int(before[count:].sum() - before[:count].sum())

    def before(self, times: Picoseconds) -> Picoseconds:
        """Occupied time before each of some times."""
        begun = np.searchsorted(self.starts, times, side="right")
        occupied, ends = np.zeros((2, self.starts.size + 1), dtype=np.int64)
        np.cumsum(self.ends - self.starts, out=occupied[1:])
        ends[0], ends[1:] = _NEVER, self.ends
        return occupied[begun] - np.maximum(ends[begun] - times, 0)


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
    memory = _memory_bound(tasks, costs, periods[-1], team, rank)
    *before, (computing, talking) = Lanes(team, rank).of(periods)
    overlap = computing.overlap(talking)
    overlap += sum(computing.overlap(other[1]) + other[0].overlap(talking) for other in before)
    compute = computing.total
    communication = max(0, talking.total - overlap)
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
    tasks: Sequence[Tasks], costs: Sequence[Sequence[NodeCost]], period: list[Executed], team: int, rank: int
) -> int:
    """Time of a rank's nodes that are bound by memory."""
    known: dict[tuple[int, int, int, tuple[int, ...]], int] = {}
    total = 0
    for executed in period:
        member = executed.member
        template, teams = member.segment.template, member.program.teams
        key = template, member.offset, executed.count, teams
        if key not in known:
            known[key] = sum(
                _over_copies(task.duration, executed, rank)
                for task, cost in zip(tasks[template].tasks, costs[template], strict=True)
                if cost.bound is Bound.MEMORY and task.form.lane % 2 == 0 and teams[task.form.lane // 2] == team
            )
        total += known[key]
    return total


def _over_copies(duration: Picoseconds, executed: Executed, rank: int) -> int:
    if duration.size == 1:
        return executed.count * int(duration.item())
    if duration.ndim == 1:
        return executed.count * int(duration[rank])
    first = executed.member.offset
    return int(duration[first : first + executed.count, rank if duration.shape[1] > 1 else 0].sum())


_Slices = tuple[Picoseconds, Picoseconds, npt.NDArray[np.bool_]]
"""Starts and ends of steps, and whether each is on the compute lane."""


class Lanes:
    """Both lanes of a rank. Segments that keep the same times are looked at once."""

    def __init__(self, team: int, rank: int) -> None:
        """Of a team's local rank."""
        self._team, self._rank = team, rank
        self._known: dict[tuple[int, int, int, tuple[int, ...]], _Slices] = {}

    def of(self, periods: Sequence[list[Executed]]) -> list[tuple[Busy, Busy]]:
        """Every step of each period, on the compute and on the communication lane."""
        return [self._period(period) for period in periods]

    def _period(self, period: list[Executed]) -> tuple[Busy, Busy]:
        if not period:
            return Busy(_NOTHING, _NOTHING), Busy(_NOTHING, _NOTHING)
        slices = [self._segment(executed) for executed in period]
        later = np.array([at(executed.later, self._rank) for executed in period], dtype=np.int64)
        moved = later.repeat([one[0].size for one in slices])
        starts, ends, is_compute = (np.concatenate(columns) for columns in zip(*slices, strict=True))
        taken = np.flatnonzero(ends > starts)
        order = taken[(starts + moved)[taken].argsort(kind="stable")]
        begun, done, computes = (starts + moved)[order], (ends + moved)[order], is_compute[order]
        return Busy(begun[computes], done[computes]), Busy(begun[~computes], done[~computes])

    def _segment(self, executed: Executed) -> _Slices:
        """The steps of a segment as its kept times say, copy by copy."""
        member = executed.member
        key = id(executed.kept), executed.count, member.offset, member.program.teams
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._slices(executed)
        return found

    def _slices(self, executed: Executed) -> _Slices:
        rank, teams, steps = self._rank, executed.member.program.teams, executed.steps.steps
        chosen = [number for number, step in enumerate(steps) if teams[step.lane // 2] == self._team]
        copies = range(executed.explicit)
        starts = np.array([self._begun(executed, copy, chosen) for copy in copies], dtype=np.int64)
        rows = [executed.row(copy) for copy in (copies[:1] if executed.steps.copies_alike else copies)]
        ends = starts + np.array([[at(steps[i].row(row), rank) for i in chosen] for row in rows], dtype=np.int64)
        if executed.count > len(copies):
            rest = np.arange(1, executed.count - len(copies) + 1, dtype=np.int64)[:, None] * at(executed.shift, rank)
            starts, ends = np.concatenate([starts, starts[-1:] + rest]), np.concatenate([ends, ends[-1:] + rest])
        is_compute = np.array([steps[i].lane % 2 == 0 for i in chosen] * executed.count, dtype=np.bool_)
        return starts.ravel(), ends.ravel(), is_compute

    def _begun(self, executed: Executed, copy: int, chosen: list[int]) -> list[int]:
        """Starts of steps in a copy."""
        rank = self._rank
        times, by = executed.kept.of(copy, executed.row(copy))
        starts, later = times.starts, at(by, rank)
        return [(time if isinstance(time := starts[i], int) else time.item(rank)) + later for i in chosen]
