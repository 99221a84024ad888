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
from dagc.graph.graph import Segment, StageProgram
from dagc.ops.op import Lane
from dagc.plan.layout import Ranks
from dagc.schedule.timeline import Run

MOST_SLICES = 200_000
"""Slices of a trace unless asked for otherwise, those around operators among them: some 80 MB of JSON, which Perfetto
opens within seconds. A browser's trace processor takes 290 bytes a slice beside the file itself, and has 4 GB for both.
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
        kinds = f", {self.ranks} groups of equivalent GPUs for each stage" if self.ranks < _KINDS_OF_RANKS[0] else ""
        return f"{self.written:,} of {self.whole:,} slices of operators: {which}{kinds}"


def _numbers(first: int, end: int) -> str:
    return "" if first >= end else f"{first}" if first + 1 == end else f"{first}-{end - 1}"


def excerpt(traced: Traced, ranks: RankSelection | None, most: int) -> Excerpt | None:
    """What to write of a trace that is to have so many slices at most; None for all of it.

    One micro-batch of each step is written in any case, on one rank of each stage.
    """
    sizes = _Sizes(traced, ranks, _KINDS_OF_RANKS[0])
    if sizes.filled(sizes.micro_batches) <= most:
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
        self._ends = [_ends(counts) for counts, _ in each]
        self._around = [_ends(counts) for _, counts in each]
        self.micro_batches = max((counts.size for counts, _ in each), default=0)
        self.whole = self.of(self.micro_batches)
        self.invocations = sum(
            timeline.steps * uses * _stretches(timeline.priced.graph.programs[size])
            for timeline in traced.timelines
            for size, uses in enumerate(timeline.priced.graph.uses)
        )

    def of(self, micro_batches: int) -> int:
        """Slices of operators in so many micro-batches."""
        return _of_ends(self._ends, micro_batches)

    def filled(self, micro_batches: int) -> int:
        """The same with the slices around them. Where micro-batches take turns inside a layer there are some more."""
        return self.of(micro_batches) + _of_ends(self._around, micro_batches)

    def fitting(self, most: int) -> int:
        """The most micro-batches that have so many slices at most."""
        return bisect_right(range(self.micro_batches + 1), most, key=self.filled) - 1


_Ends = tuple[Ranks, Ranks]
"""How many slices the first and the last micro-batches have, by their number."""


def _ends(counts: Ranks) -> _Ends:
    first, last = (np.concatenate([[0], np.cumsum(each)]) for each in (counts, counts[::-1]))
    return first, last


def _of_ends(ends: list[_Ends], micro_batches: int) -> int:
    front, back = (micro_batches + 1) // 2, micro_batches // 2
    return sum(int(first[-1] if micro_batches >= first.size - 1 else first[front] + last[back]) for first, last in ends)


def _stretches(programs: tuple[StageProgram, ...]) -> int:
    """Slices of one micro-batch on the threads of micro-batches: one for each layer where stages share a pool."""
    served = [team for program in programs for team in set(program.teams)]
    shared = _shares(programs)
    return sum(segment.count for program in programs for segment in program.segments) if shared else len(served)


def _shares(programs: tuple[StageProgram, ...]) -> bool:
    """Whether stages share a pool, which then goes from stage to stage with each layer."""
    served = [team for program in programs for team in set(program.teams)]
    return len(set(served)) < len(served)


def _by_micro_batch(phase: PhaseTracks) -> tuple[Ranks, Ranks]:
    """Slices of operators of each micro-batch in all steps, and those around them: what takes no time has none."""
    graph = phase.timeline.priced.graph
    programs, counts = graph.programs[0], graph.micro_batches
    # The lane of a stage goes through the layers of a micro-batch, that of a pool may take another after each layer.
    outer = 1 + (phase.timeline.steps > 1)
    takes_turns = _shares(programs) or any(len(set(program.teams)) > 1 for program in programs)
    operators, around = (dict.fromkeys(counts, 0) for _ in range(2))
    for size, each in enumerate(graph.programs):
        for program in each:
            lanes: dict[tuple[int, Lane], int] = {}
            for segment in program.segments:
                for (team, lane), taken in _taken(phase, program, segment).items():
                    lanes[team, lane] = phase.teams[team].local.size
                    turns = int((taken > 0).sum()) * (segment.first_layer is not None)
                    operators[size] += int(taken.sum())
                    around[size] += turns * (1 + outer * takes_turns)
            around[size] += outer * sum(lanes.values())
    whole, more = (
        phase.timeline.steps * np.array([found[size] for size in counts], dtype=np.int64)
        for found in (operators, around)
    )
    return whole, more


def _taken(phase: PhaseTracks, program: StageProgram, segment: Segment) -> dict[tuple[int, Lane], Ranks]:
    """Slices of a segment by team and lane, shape (copies, shown ranks of the team)."""
    priced = phase.timeline.priced
    found: dict[tuple[int, Lane], Ranks] = {}
    pairs = zip(priced.graph.templates[segment.template].nodes, priced.costs[segment.template], strict=True)
    for node, cost in pairs:
        team = program.teams[node.team]
        local = phase.teams[team].local
        taken = np.atleast_2d(cost.duration > 0)[: segment.count]
        each = taken if taken.shape[1] == 1 else taken[:, local]
        key = team, node.op.lane
        found.setdefault(key, np.zeros((segment.count, local.size), dtype=np.int64))
        found[key] += each
    return found
