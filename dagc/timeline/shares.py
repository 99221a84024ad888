"""How the busiest stage on the critical path spends its time.

The stage is the team with the most time on the path, seen from its rank with the most time on the path. Its compute
lane is busy with memory-bound nodes, else compute-bound ones; time in which only its communication lane is busy is
communication; the rest is bubble. For a phase that repeats, the time is one steady interval: overlap between a step
and the next is that between the last two periods that ran, because every period is like the one before.

Expands the steps of one rank, as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.timeline.execute import Executed
from dagc.timeline.history import History
from dagc.timeline.occupied import memory_bound
from dagc.timeline.path import CriticalPath
from dagc.timeline.ran import Ran, Repeated
from dagc.timeline.steady import Steady
from dagc.timeline.timeline import Shares
from dagc.timeline.times import Time, at, moved

_NEVER = -(1 << 61)
"""When what never ran has ended."""

_NOTHING: Picoseconds = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Steps of one rank on one lane: starts and ends, ascending; those that take no time may be left out."""

    starts: Picoseconds
    ends: Picoseconds

    def overlap(self, other: Busy) -> int:
        """Time in which both lanes are busy."""
        count = self.starts.size
        if not count or not other.starts.size:
            return 0
        if self.ends[-1] <= other.starts[0] or other.ends[-1] <= self.starts[0]:
            return 0
        before = other.before(np.concatenate([self.starts, self.ends]))
        return int(before[count:].sum() - before[:count].sum())

    def moved(self, by: int) -> Busy:
        """The same, later."""
        return Busy(self.starts + by, self.ends + by) if by else self

    def again(self, times: int, apart: int) -> Busy:
        """The same so many times, each time so much later."""
        later = np.arange(times, dtype=np.int64)[:, None] * apart
        return Busy((self.starts + later).ravel(), (self.ends + later).ravel()) if times > 1 else self

    def before(self, times: Picoseconds) -> Picoseconds:
        """Occupied time before each of some times."""
        begun = np.searchsorted(self.starts, times, side="right")
        occupied, ends = np.zeros((2, self.starts.size + 1), dtype=np.int64)
        np.cumsum(self.ends - self.starts, out=occupied[1:])
        ends[0], ends[1:] = _NEVER, self.ends
        return occupied[begun] - np.maximum(ends[begun] - times, 0)


def phase_shares(history: History, path: CriticalPath, occupied: Sequence[Time], steady: Steady) -> Shares:
    """Shares of the interval: what runs in one step, over it. `occupied` is by `2 · team + lane`."""
    spent = path.time_by_rank()
    if not spent or steady.interval <= 0:
        return Shares(0.0, 0.0, 0.0, 1.0)
    team, rank = busiest(spent)
    compute, talk = at(occupied[2 * team], rank), at(occupied[2 * team + 1], rank)
    beside = compute and talk and not _in_turn(history)
    overlap = _Lanes(team, rank).overlap(steady.window) if beside else 0
    communication = max(0, talk - overlap)
    whole = max(steady.interval, compute + communication)
    memory = memory_bound(history.graph, history.tasks, team, rank)
    return _shares(compute - memory, memory, communication, whole)


def _in_turn(history: History) -> bool:
    """Whether one step at a time runs on each rank, whatever they take: all are one chain through one stream."""
    if len(history.graph.micro_batches) > 1 or len(history.graph.programs[0]) > 1:
        return False
    return bool(frozenset[int].intersection(*(executed.steps.chained for executed in history.executed)))


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


_Slices = tuple[Busy, Busy]
"""Steps on the compute and on the communication lane."""


class _Lanes:
    """Both lanes of a rank. Segments that keep the same times are looked at once."""

    def __init__(self, team: int, rank: int) -> None:
        """Of a team's local rank."""
        self._team, self._rank = team, rank
        self._known: dict[tuple[int, int, int, tuple[int, ...]], _Slices] = {}

    def overlap(self, window: Sequence[Ran]) -> int:
        """Time of the last period in which both lanes are busy, one of them perhaps with a period before."""
        *before, last = [period.repeated(self._team) for period in window]
        computing, talking = self._period(last)
        overlap = computing.overlap(talking)
        begun = min(computing.starts[0], talking.starts[0])
        for period in before:
            if any(self._end(one) > begun for one in period):
                earlier = self._period(period)
                overlap += computing.overlap(earlier[1]) + earlier[0].overlap(talking)
        return overlap

    def _end(self, repeated: Repeated) -> int:
        ends = [at(moved(executed.end, executed.later), self._rank) for executed in repeated.runs]
        return max(ends, default=0) + (repeated.times - 1) * at(repeated.apart, self._rank)

    def _period(self, period: list[Repeated]) -> _Slices:
        computing, talking = zip(*[self._repeated(one) for one in period], strict=True)
        return _joined(computing), _joined(talking)

    def _repeated(self, repeated: Repeated) -> _Slices:
        slices = [(self._segment(executed), at(executed.later, self._rank)) for executed in repeated.runs]
        computing, talking = (_joined([one[lane].moved(by) for one, by in slices]) for lane in (0, 1))
        apart = at(repeated.apart, self._rank)
        return computing.again(repeated.times, apart), talking.again(repeated.times, apart)

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
        mine = [number for number, step in enumerate(steps) if teams[step.lane // 2] == self._team]
        computing = [number for number in mine if not steps[number].lane % 2]
        chosen, cut = computing + [number for number in mine if steps[number].lane % 2], len(computing)
        copies = range(executed.explicit)
        starts = np.array([self._begun(executed, copy, chosen) for copy in copies], dtype=np.int64)
        rows = [executed.row(copy) for copy in (copies[:1] if executed.steps.copies_alike else copies)]
        lengths = np.array([[at(steps[i].row(row), rank) for i in chosen] for row in rows], dtype=np.int64)
        if executed.count > len(copies):
            rest = np.arange(1, executed.count - len(copies) + 1, dtype=np.int64)[:, None] * at(executed.shift, rank)
            starts = np.concatenate([starts, starts[-1:] + rest])
        ends = starts + lengths
        computing = Busy(starts[:, :cut].ravel(), ends[:, :cut].ravel())
        return computing, Busy(starts[:, cut:].ravel(), ends[:, cut:].ravel())

    def _begun(self, executed: Executed, copy: int, chosen: list[int]) -> list[int]:
        """Starts of steps in a copy."""
        rank = self._rank
        times, by = executed.kept.of(copy, executed.row(copy))
        starts, later = times.starts, at(by, rank)
        return [(time if isinstance(time := starts[i], int) else time.item(rank)) + later for i in chosen]


def _joined(slices: Sequence[Busy]) -> Busy:
    """Steps of several segments, in the order of time."""
    some = [busy for busy in slices if busy.starts.size]
    if len(some) < 2:
        return some[0] if some else Busy(_NOTHING, _NOTHING)
    starts = np.concatenate([busy.starts for busy in some])
    ends = np.concatenate([busy.ends for busy in some])
    if bool((starts[1:] >= ends[:-1]).all()):
        return Busy(starts, ends)
    taken = np.flatnonzero(ends > starts)
    order = taken[starts[taken].argsort()]
    return Busy(starts[order], ends[order])
