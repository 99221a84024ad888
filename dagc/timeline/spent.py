"""Where the time of the busiest stage goes, moment by moment: what the shares of a phase sum up.

Turns what ran in the last period into stretches of one rank that follow each other without a gap: its compute lane at
work on a compute-bound or memory-bound node, else its communication lane, else neither. A phase that repeats is one
steady-state interval long, from the first start of the last period on: what lies past the end of the interval
stands at its beginning, because there the period before it did the same.

Assumes that the period is steady. Worked out when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import NodeCost, Picoseconds
from dagc.timeline.path import CriticalPath
from dagc.timeline.ran import Ran
from dagc.timeline.shares import busiest
from dagc.timeline.timeline import Spending, Stretch
from dagc.timeline.times import at

_KINDS = (Spending.BUBBLE, Spending.COMMUNICATION, Spending.MEMORY, Spending.COMPUTE)
"""By rising claim on a moment."""

_Columns = tuple[Picoseconds, Picoseconds, npt.NDArray[np.int64]]
"""Starts, ends and kinds of slices."""


class Spent(Sequence[Stretch]):
    """The stretches of one phase, in the order of time."""

    def __init__(
        self,
        costs: Sequence[Sequence[NodeCost]],
        path: CriticalPath,
        window: Sequence[Ran],
        interval: int,
    ) -> None:
        """What ran in the last period of `window`, over `interval` picoseconds."""
        self._costs, self._path, self._window, self._interval = costs, path, window, interval

    @cached_property
    def whose(self) -> tuple[int, int] | None:
        """Team and rank whose time it is; None where there is none."""
        spent = self._path.time_by_rank()
        return busiest(spent) if spent and self._interval > 0 else None

    @cached_property
    def _stretches(self) -> tuple[Stretch, ...]:
        if self.whose is None:
            return ()
        team, rank = self.whose
        starts, ends, kinds = _slices(self._costs, self._window[-1], team, rank)
        begin = int(starts.min(initial=0)) if len(self._window) > 1 else 0
        cuts, claimed = _claims(_folded((starts - begin, ends - begin, kinds), self._interval), self._interval)
        edges = np.flatnonzero(np.diff(claimed, prepend=-1))
        bounds = [*cuts[edges].tolist(), self._interval]
        kinds_of = [_KINDS[int(kind)] for kind in claimed[edges]]
        spans = zip(bounds, bounds[1:], kinds_of, strict=False)
        return tuple(Stretch(team, rank, begin + start, begin + end, kind) for start, end, kind in spans)

    def __len__(self) -> int:
        """Stretches."""
        return len(self._stretches)

    @overload
    def __getitem__(self, index: int) -> Stretch: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Stretch, ...]: ...
    def __getitem__(self, index: int | slice) -> Stretch | tuple[Stretch, ...]:
        """One of the stretches."""
        return self._stretches[index]

    def __iter__(self) -> Iterator[Stretch]:
        """All of them."""
        return iter(self._stretches)


def spent_by(spent: Sequence[Stretch]) -> tuple[int, int] | None:
    """Team and rank whose time it is, without a look at every stretch; None where there is none."""
    if isinstance(spent, Spent):
        return spent.whose
    return (spent[0].team, spent[0].rank) if spent else None


def _slices(costs: Sequence[Sequence[NodeCost]], period: Ran, team: int, rank: int) -> _Columns:
    """All nodes of a rank that take time in a period."""
    rows: list[tuple[int, int, int]] = []
    for executed in map(period.run, period.of_team(team)):
        teams, bounds = executed.member.program.teams, costs[executed.member.segment.template]
        chosen = [
            (number, which, _kind(bounds[node], step.lane))
            for number, step in enumerate(executed.steps.steps)
            if teams[step.lane // 2] == team
            for which, node in enumerate(step.nodes)
        ]
        for copy in range(executed.count) if chosen else ():
            times, later = executed.times(copy)
            row = executed.row(copy)
            for number, which, kind in chosen:
                step = executed.steps.steps[number]
                start = at(times.starts[number], rank) + at(step.offset(which, row), rank) + at(later, rank)
                rows.append((start, start + at(step.node_length(which, row), rank), kind))
    starts, ends, kinds = np.array([row for row in rows if row[1] > row[0]], dtype=np.int64).reshape(-1, 3).T
    return starts, ends, kinds


def _kind(cost: NodeCost, lane: int) -> int:
    if lane % 2:
        return _KINDS.index(Spending.COMMUNICATION)
    return _KINDS.index(Spending.MEMORY if cost.by_traffic else Spending.COMPUTE)


def _folded(slices: _Columns, interval: int) -> _Columns:
    """What lies past the end, moved back by whole intervals; a slice across the end is cut there."""
    starts, ends, kinds = slices
    moved = starts - starts % interval
    starts, ends = starts - moved, ends - moved
    over = ends > interval
    return (
        np.concatenate([starts, np.zeros(int(over.sum()), dtype=np.int64)]),
        np.concatenate([np.minimum(ends, interval), ends[over] - interval]),
        np.concatenate([kinds, kinds[over]]),
    )


def _claims(slices: _Columns, interval: int) -> tuple[Picoseconds, npt.NDArray[np.int64]]:
    """Moments at which something begins or ends, and what has the strongest claim from there on."""
    starts, ends, kinds = slices
    cuts = np.unique(np.concatenate([starts, ends, np.zeros(1, dtype=np.int64)]))
    cuts = cuts[cuts < interval]
    claimed = np.zeros(cuts.size, dtype=np.int64)
    for kind in range(1, len(_KINDS)):
        of_kind = kinds == kind
        begun = np.searchsorted(np.sort(starts[of_kind]), cuts, side="right")
        done = np.searchsorted(np.sort(ends[of_kind]), cuts, side="right")
        claimed[begun > done] = kind
    return cuts, claimed
