"""The order in which a phase's segments run, as blocks.

A phase graph becomes a list of turns for each period, and a turn is a list of blocks. A block is one segment, or, where
a pool serves several stages, segments of several stages in lock step, copy by copy; it is what repeats and is
compressed. A period holds each (micro-batch, stage) once: the whole phase, or one decode step.

Stages with their own GPUs run micro-batch by micro-batch, stage by stage: any topological order gives each lane the
same sequence. A pool that serves several stages needs one order between them: by wavefront (micro-batch + stage),
then copy, then stage. Decode steps follow each other `max(micro-batches, stages)` wavefronts apart, the soonest at
which a micro-batch's last stage stands before its first stage again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dagc.graph.graph import PhaseGraph, Segment, StageProgram
from dagc.plan.deployment import Phase


class Member(NamedTuple):
    """One stage's part of a block: a segment, from copy `offset` of it on, of one micro-batch in one step."""

    step: int
    micro_batch: int
    size: int
    stage: int
    position: int
    offset: int
    segment: Segment
    program: StageProgram

    @property
    def invocation(self) -> tuple[int, int, int]:
        """(step, micro-batch, stage): what shares one set of streams."""
        return self.step, self.micro_batch, self.stage


@dataclass(slots=True, eq=False)
class Block:
    """Members run one after the other, `count` times."""

    members: tuple[Member, ...]
    count: int


Turn = tuple[Block, ...]
"""Blocks of one member each that are all of one invocation; or one block in lock step."""


def repeats(graph: PhaseGraph) -> bool:
    """Whether the phase is a step that follows itself."""
    return graph.phase is Phase.DECODE


def shares_a_team(graph: PhaseGraph) -> bool:
    """Whether some team works for more than one stage."""
    if all(len(programs) == 1 for programs in graph.programs):
        return False
    return any(
        len(set(teams)) < len(teams)
        for programs in graph.programs
        for teams in ([team for program in programs for team in set(program.teams)],)
    )


def period_turns(graph: PhaseGraph, period: int) -> list[Turn]:
    """The turns of one period, in order."""
    if shares_a_team(graph):
        return [(block,) for active in _wavefronts(graph, period) for block in _lock_step(active)]
    turns = (
        turn_of(graph, period, micro_batch, stage)
        for micro_batch in range(len(graph.micro_batches))
        for stage in range(_stages(graph))
    )
    return [turn for turn in turns if turn]


def turn_of(graph: PhaseGraph, step: int, micro_batch: int, stage: int) -> Turn:
    """A whole invocation as one turn."""
    return tuple([Block((member,), member.segment.count) for member in _members(graph, step, micro_batch, stage)])


def period_blocks(graph: PhaseGraph, period: int) -> list[Block]:
    """The blocks of one period, in order."""
    return [block for turn in period_turns(graph, period) for block in turn]


def periods_of_first_step(graph: PhaseGraph) -> int:
    """How many periods until every segment of step 0 has run."""
    return 2 if repeats(graph) and shares_a_team(graph) and _stages(graph) > 1 else 1


def _stages(graph: PhaseGraph) -> int:
    return len(graph.programs[0])


def _members(graph: PhaseGraph, step: int, micro_batch: int, stage: int) -> list[Member]:
    size = graph.micro_batches[micro_batch]
    program = graph.programs[size][stage]
    return [
        Member(step, micro_batch, size, stage, position, 0, segment, program)
        for position, segment in enumerate(program.segments)
        if segment.count > 0
    ]


def _wavefronts(graph: PhaseGraph, period: int) -> Iterator[list[list[Member]]]:
    stages, count = _stages(graph), len(graph.micro_batches)
    length = max(count, stages) if repeats(graph) else count + stages
    for front in range(period * length, (period + 1) * length):
        places = [(*divmod(front - stage, length), stage) for stage in range(stages) if front >= stage]
        active = [_members(graph, step, batch, stage) for step, batch, stage in places if batch < count]
        yield [members for members in active if members]


def _lock_step(active: list[list[Member]]) -> Iterator[Block]:
    """Blocks of as many copies as no stage changes its segment."""
    cursors = [(0, 0) for _ in active]
    while True:
        running = [i for i, (at, _) in enumerate(cursors) if at < len(active[i])]
        if not running:
            return
        current = [(active[i][cursors[i][0]], cursors[i][1]) for i in running]
        count = min(member.segment.count - offset for member, offset in current)
        yield Block(tuple(_from(member, offset) for member, offset in current), count)
        for i, (member, offset) in zip(running, current, strict=True):
            at = cursors[i][0]
            cursors[i] = (at, offset + count) if offset + count < member.segment.count else (at + 1, 0)


def _from(member: Member, offset: int) -> Member:
    return Member(
        member.step,
        member.micro_batch,
        member.size,
        member.stage,
        member.position,
        offset,
        member.segment,
        member.program,
    )
