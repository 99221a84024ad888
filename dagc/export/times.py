"""Times of one operator in the copies of a run, by rank, from what a timeline holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.schedule.timeline import Run, Timeline, starts_of


def duration_of(timeline: Timeline, run: Run, copy: int, node: int) -> Picoseconds:
    """Duration in a run's copy, shape (1,) or (width,)."""
    duration = timeline.priced.costs[run.template][node].duration
    return duration if duration.ndim == 1 else duration[run.offset + copy]


def at_rank(times: Picoseconds, rank: int) -> int:
    """The time of one local rank."""
    return int(times[rank if times.shape[0] > 1 else 0])


class CopyStarts:
    """Starts in consecutive copies of runs that are alike but for their micro-batch and step."""

    def __init__(self, runs: Sequence[Run], copies: range) -> None:
        """Of these copies."""
        self._times = starts_of(runs, copies)

    def of(self, node: int, local: Ranks) -> Picoseconds:
        """Starts of a node on some local ranks in the first of the runs, shape (copies, ranks)."""
        return self.of_all([(node, local)])[0]

    def of_all(self, nodes: Sequence[tuple[int, Ranks]]) -> Picoseconds:
        """Starts of nodes, each on some local ranks, side by side: shape (runs, copies, ranks of all)."""
        wide = self._times.shape[-1] > 1
        ranks = np.concatenate([local if wide else np.zeros_like(local) for _, local in nodes])
        return self._times[:, :, np.repeat([node for node, _ in nodes], [local.size for _, local in nodes]), ranks]


def durations(timeline: Timeline, run: Run, copies: range, node: int, local: Ranks) -> Picoseconds:
    """Durations of some local ranks, in a shape that broadcasts to (copies, ranks)."""
    duration = timeline.priced.costs[run.template][node].duration
    rows = duration[run.offset + copies.start : run.offset + copies.stop] if duration.ndim > 1 else duration[None]
    return rows if rows.shape[1] == 1 else rows[:, local]
