"""Times of one execution of an operator, by rank, from what a timeline holds."""

from __future__ import annotations

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.timeline import Run, Timeline


def duration_of(timeline: Timeline, run: Run, copy: int, node: int) -> Picoseconds:
    """Duration in a run's copy, shape (1,) or (width,).

    Where layers differ, a run may be the later part of their segment; its first layer tells which.
    """
    duration = timeline.priced.costs[run.template][node].duration
    if duration.ndim == 1:
        return duration
    segment = timeline.priced.graph.programs[run.size][run.stage].segments[run.position]
    before = 0 if run.first_layer is None or segment.first_layer is None else run.first_layer - segment.first_layer
    return duration[before + copy]


def at_rank(times: Picoseconds, rank: int) -> int:
    """The time of one local rank."""
    return int(times[rank if times.shape[0] > 1 else 0])


def of_ranks(times: Picoseconds, local: Ranks) -> Picoseconds:
    """The times of some local ranks, as an array of their own."""
    return times[local] if times.shape[0] > 1 else np.full(local.size, times[0], dtype=np.int64)
