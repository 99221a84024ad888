"""Which part of a trace is written where the whole is more than a viewer opens with ease.

Turns the sizes of the phases into a choice: the first and the last micro-batches of each step, as many as fit, on one
rank of each kind. Micro-batches in the middle of a pipeline repeat each other; its fill and its drain do not. Kinds of
ranks are left out only where four micro-batches would not fit.

What is left out is crossed as a whole: the critical path stays without a gap, one slice for each stretch of a
micro-batch, and the share of each kind of time stays what it is. Counted from the grouped graph, before any slice is
made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dagc.export.ranks import RankSelection
from dagc.export.trace.tracks import PhaseTracks, Traced, tracks
from dagc.graph.graph import StageProgram
from dagc.plan.layout import Ranks
from dagc.timeline.timeline import Run

MOST_SLICES = 200_000
"""Slices of a trace unless asked for otherwise: some 50 MB of JSON, which Perfetto opens within seconds. A browser's
trace processor takes 290 bytes a slice beside the file itself, and has 4 GB for both.
"""

_KINDS_OF_RANKS = (8, 4, 2, 1)
"""Ranks of a team, from as many as the whole trace shows."""

_ENOUGH = 4
"""Micro-batches that show how a pipeline fills and drains."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """`micro_batches` of each step, half of them its first and half its last; `ranks` of each team at most.

    `written` of `whole` slices of operators; `overview`: the thread of micro-batches shows those too that are left out.
    """

    micro_batches: int
    ranks: int
    overview: bool
    written: int
    whole: int
    most_micro_batches: int

    def keeps(self, phase: PhaseTracks) -> Callable[[Run], bool]:
        """Whether a run of a phase is in it."""
        last = len(phase.timeline.priced.graph.micro_batches) - self.micro_batches // 2
        first = (self.micro_batches + 1) // 2
        return lambda run: run.micro_batch < first or run.micro_batch >= last

    @property
    def text(self) -> str:
        """What it holds: `198,400 of 5,990,400 slices of operators: micro-batches 0-8 and 1016-1023 of 1,024`."""
        count, of = self.micro_batches, self.most_micro_batches
        first, last = _numbers(0, (count + 1) // 2), _numbers(of - count // 2, of)
        which = (
            f"micro-batches {first}{f' and {last}' if last else ''} of {of:,}" if count < of else "all micro-batches"
        )
        kinds = f", {self.ranks} of the kinds of ranks of a stage" if self.ranks < _KINDS_OF_RANKS[0] else ""
        return f"{self.written:,} of {self.whole:,} slices of operators: {which}{kinds}"


def _numbers(first: int, end: int) -> str:
    return "" if first >= end else f"{first}" if first + 1 == end else f"{first}-{end - 1}"


def excerpt(traced: Traced, ranks: RankSelection | None, most: int) -> Excerpt | None:
    """What to write of a trace that is to have so many slices of operators at most; None for all of it.

    One micro-batch of each step is written in any case, on one rank of each stage.
    """
    sizes = _Sizes(traced, ranks, _KINDS_OF_RANKS[0])
    if sizes.whole <= most:
        return None
    whole = sizes.whole
    found = sizes.fitting(most)
    for kinds in () if ranks else _KINDS_OF_RANKS[1:]:
        if found >= min(_ENOUGH, sizes.micro_batches):
            break
        fewer = _Sizes(traced, ranks, kinds)
        if fewer.whole < sizes.whole:
            sizes, found = fewer, fewer.fitting(most)
    found = max(1, found)
    return Excerpt(found, sizes.kinds, sizes.invocations <= most // 4, sizes.of(found), whole, sizes.micro_batches)


def slices(traced: Traced, ranks: RankSelection | None) -> int:
    """Slices of operators in the whole trace."""
    return _Sizes(traced, ranks, _KINDS_OF_RANKS[0]).whole


class _Sizes:
    """How many slices the micro-batches of all phases have, counted from the first and from the last."""

    def __init__(self, traced: Traced, ranks: RankSelection | None, kinds: int) -> None:
        self.kinds = kinds
        each = [_by_micro_batch(phase) for phase in tracks(traced, ranks, kinds)]
        self._ends = [(_sums(counts), _sums(counts[::-1])) for counts in each]
        self.micro_batches = max((counts.size for counts in each), default=0)
        self.whole = self.of(self.micro_batches)
        self.invocations = sum(
            timeline.steps * uses * _stretches(timeline.priced.graph.programs[size])
            for timeline in traced.timelines
            for size, uses in enumerate(timeline.priced.graph.uses)
        )

    def of(self, micro_batches: int) -> int:
        """Slices of so many micro-batches."""
        front, back = (micro_batches + 1) // 2, micro_batches // 2
        return sum(
            int(first[-1] if micro_batches >= first.size - 1 else first[front] + last[back])
            for first, last in self._ends
        )

    def fitting(self, most: int) -> int:
        """The most micro-batches that have so many slices at most."""
        return bisect_right(range(self.micro_batches + 1), most, key=self.of) - 1


def _stretches(programs: tuple[StageProgram, ...]) -> int:
    """Slices of one micro-batch on the threads of micro-batches: one for each layer where stages share a pool."""
    served = [team for program in programs for team in set(program.teams)]
    shares = len(set(served)) < len(served)
    return sum(segment.count for program in programs for segment in program.segments) if shares else len(served)


def _sums(counts: Ranks) -> Ranks:
    return np.concatenate([[0], np.cumsum(counts)])


def _by_micro_batch(phase: PhaseTracks) -> Ranks:
    """Slices of each micro-batch in all steps: what takes no time has none."""
    priced = phase.timeline.priced
    by_size = dict.fromkeys(priced.graph.micro_batches, 0)
    for size, program, _, segment in priced.graph.segments():
        pairs = zip(priced.graph.templates[segment.template].nodes, priced.costs[segment.template], strict=True)
        for node, cost in pairs:
            local = phase.teams[program.teams[node.team]].local
            taken = cost.duration > 0
            rows = taken[: segment.count] if taken.ndim > 1 else taken[None]
            found = int((rows[:, local] if rows.shape[1] > 1 else rows * local.size).sum())
            by_size[size] += found if taken.ndim > 1 else found * segment.count
    return phase.timeline.steps * np.array([by_size[size] for size in priced.graph.micro_batches], dtype=np.int64)
