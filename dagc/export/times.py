"""Times of one operator in the copies of a run, by rank, from what a timeline holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.lazy import Starts
from dagc.timeline.timeline import Run, Timeline


def duration_of(timeline: Timeline, run: Run, copy: int, node: int) -> Picoseconds:
    """Duration in a run's copy, shape (1,) or (width,)."""
    duration = timeline.priced.costs[run.template][node].duration
    return duration if duration.ndim == 1 else duration[run.offset + copy]


def at_rank(times: Picoseconds, rank: int) -> int:
    """The time of one local rank."""
    return int(times[rank if times.shape[0] > 1 else 0])


def start_of(run: Run, copy: int, node: int) -> Picoseconds:
    """Start in a run's copy, worked out for this node alone."""
    if not isinstance(run.starts, Starts):
        return run.start(copy, node)
    last = len(run.starts) - 1
    return run.starts.of(min(copy, last), node) + max(0, copy - last) * run.shift


class CopyStarts:
    """Starts in consecutive copies of a run. What it holds of a copy is read once, because it is worked out then."""

    def __init__(self, run: Run, copies: range) -> None:
        """Of these copies."""
        last = len(run.starts) - 1
        self._explicit = [run.starts[copy] for copy in copies if copy <= last]
        self._shifts = run.shift * np.array([copy - last for copy in copies if copy > last], dtype=np.int64)[:, None]
        self._last = run.starts[last] if self._shifts.size else ()

    def of(self, node: int, local: Ranks) -> Picoseconds:
        """Starts of a node on some local ranks, shape (copies, ranks)."""
        rows = [_of_ranks(times[node], local)[None] for times in self._explicit]
        if self._shifts.size:
            rows.append(_of_ranks(self._last[node], local) + self._shifts)
        return np.concatenate(rows)

    def of_all(self, nodes: Sequence[tuple[int, Ranks]]) -> Picoseconds:
        """Starts of nodes, each on some local ranks, side by side: shape (copies, ranks of all)."""
        rows = [_row(times, nodes)[None] for times in self._explicit]
        if self._shifts.size:
            rows.append(_row(self._last, nodes) + self._shifts)
        return np.concatenate(rows) if len(rows) > 1 else rows[0]


def durations(timeline: Timeline, run: Run, copies: range, node: int, local: Ranks) -> Picoseconds:
    """Durations of some local ranks, in a shape that broadcasts to (copies, ranks)."""
    duration = timeline.priced.costs[run.template][node].duration
    rows = duration[run.offset + copies.start : run.offset + copies.stop] if duration.ndim > 1 else duration[None]
    return rows if rows.shape[1] == 1 else rows[:, local]


def _row(times: Sequence[Picoseconds], nodes: Sequence[tuple[int, Ranks]]) -> Picoseconds:
    return np.concatenate([_of_ranks(times[node], local) for node, local in nodes])


def _of_ranks(times: Picoseconds, local: Ranks) -> Picoseconds:
    return times[local] if times.shape[0] > 1 else np.full(local.size, times[0], dtype=np.int64)
