"""In which order the stages of a phase take their micro-batches, and which segments are then issued in lock step.

An order lists the invocations (one stage's work for one micro-batch in one step) of a period, which is the whole phase
or one decode step and holds each (micro-batch, stage) once. Invocations of one wave are issued in lock step: copy by
copy, and of each copy stage by stage. Orders are data: another one is another entry of `ORDERS`.

Stages with GPUs of their own run micro-batch by micro-batch, stage by stage (GPipe): any topological order gives each
lane the same sequence. A pool that serves several stages needs one order between them: by wavefront (micro-batch +
stage). Decode steps follow each other max(micro-batches, stages) wavefronts apart, the soonest at which the last stage
has passed a micro-batch on before the first stage takes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.graph.graph import PhaseGraph
from dagc.plan.deployment import Phase

Int64 = npt.NDArray[np.int64]


class Invocations(NamedTuple):
    """Invocations in order, shape (invocations,) each; those of equal `wave` are issued in lock step."""

    wave: Int64
    step: Int64
    micro_batch: Int64
    stage: Int64


class IssuePart(NamedTuple):
    """Copies of the segment at a position, from copy `offset` on, of the invocation of that number in its wave."""

    invocation: int
    position: int
    offset: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order by its name.

    `invocations(graph, period)` are those of a period. `ahead` is how many messages of a stage to the next may be under
    way at a time; a decode step of several stages is spread over `periods` periods.
    """

    name: str
    invocations: Callable[[PhaseGraph, int], Invocations]
    ahead: int
    periods: int


def _stage_by_stage(graph: PhaseGraph, period: int) -> Invocations:
    count, depth = len(graph.micro_batches), stages(graph)
    number = np.arange(count * depth, dtype=np.int64)
    return Invocations(number, np.full_like(number, period), number // depth, number % depth)


def _wavefronts(graph: PhaseGraph, period: int) -> Invocations:
    count, depth = len(graph.micro_batches), stages(graph)
    length = max(count, depth) if repeats(graph) else count + depth
    front = np.repeat(np.arange(period * length, (period + 1) * length, dtype=np.int64), depth)
    stage = np.tile(np.arange(depth, dtype=np.int64), length)
    step, micro_batch = np.divmod(front - stage, length)
    runs = (front >= stage) & (micro_batch < count)
    return Invocations(front[runs], step[runs], micro_batch[runs], stage[runs])


ORDERS = {
    order.name: order
    for order in (
        Order("gpipe", _stage_by_stage, ahead=1, periods=1),
        Order("gpipe-wavefront", _wavefronts, ahead=2, periods=2),
    )
}
"""By name. `gpipe-wavefront` is GPipe where a pool serves several stages."""


def order_of(graph: PhaseGraph) -> Order:
    """The order in which a phase runs."""
    return ORDERS["gpipe-wavefront" if _shares_a_team(graph) else "gpipe"]


def repeats(graph: PhaseGraph) -> bool:
    """Whether the phase is a step that follows itself."""
    return graph.phase is Phase.DECODE


def stages(graph: PhaseGraph) -> int:
    """Pipeline stages of a phase."""
    return len(graph.programs[0])


def periods_of_first_step(graph: PhaseGraph) -> int:
    """How many periods until every segment of step 0 has run."""
    return order_of(graph).periods if repeats(graph) and stages(graph) > 1 else 1


def lock_step(counts: Sequence[Sequence[int]]) -> Iterator[tuple[tuple[IssuePart, ...], int]]:
    """What is issued together of a wave, whose invocations have segments of so many copies, and how many copies each:
    until one of them changes its segment.
    """
    cursors = [_next_segment(one, 0) for one in counts]
    while True:
        running = [number for number, (position, _) in enumerate(cursors) if position < len(counts[number])]
        if not running:
            return
        count = min(counts[number][cursors[number][0]] - cursors[number][1] for number in running)
        yield tuple(IssuePart(number, *cursors[number]) for number in running), count
        for number in running:
            position, offset = cursors[number]
            is_done = offset + count == counts[number][position]
            cursors[number] = _next_segment(counts[number], position + 1) if is_done else (position, offset + count)


def _next_segment(counts: Sequence[int], position: int) -> tuple[int, int]:
    """The first segment from a position on that has copies."""
    while position < len(counts) and not counts[position]:
        position += 1
    return position, 0


def _shares_a_team(graph: PhaseGraph) -> bool:
    """Whether some team works for more than one stage."""
    if stages(graph) == 1:
        return False
    served = [[team for program in programs for team in set(program.teams)] for programs in graph.programs]
    return any(len(set(teams)) < len(teams) for teams in served)
