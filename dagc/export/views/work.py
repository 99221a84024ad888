"""How long parts of a program take, what bounds them, and what they send: sums over the nodes of a priced phase.

All times are of the slowest rank of each node; what overlaps counts for each node by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dagc.export.times import duration_of
from dagc.export.titles import group_size, total
from dagc.export.views.view import Bar
from dagc.graph.graph import Node, Segment, StageProgram
from dagc.graph.priced import Bound
from dagc.ops.message import Outgoing
from dagc.ops.op import Op
from dagc.schedule.timeline import Timeline
from dagc.units import format_share

ORDER = (Bound.COMPUTE, Bound.MEMORY, Bound.NETWORK, Bound.LATENCY)


@dataclass(frozen=True, slots=True)
class WorkByBound:
    """Picoseconds by bound, and bytes sent over all ranks."""

    by_bound: dict[Bound, int]
    sent_bytes: float

    @property
    def picoseconds(self) -> int:
        """All nodes one after the other."""
        return sum(self.by_bound.values())

    def bar(self) -> Bar:
        """The time by bound, over all of it."""
        length = max(self.picoseconds, 1)
        return Bar(tuple((bound, self.by_bound.get(bound, 0) / length) for bound in ORDER))

    def shares(self) -> str:
        """`compute 62 %, memory 9 %, network 29 %`, without what has no share."""
        length = max(self.picoseconds, 1)
        shares = ((bound, self.by_bound.get(bound, 0) / length) for bound in ORDER)
        return ", ".join(f"{bound.value} {format_share(share)}" for bound, share in shares if share >= 0.0005)


def segment_work(timeline: Timeline, program: StageProgram, segment: Segment, team: int | None = None) -> WorkByBound:
    """All copies of a segment, of one of the program's teams or of all."""
    priced, width = timeline.priced, timeline.priced.graph.teams
    by_bound: dict[Bound, int] = {}
    sent = 0.0
    nodes = priced.graph.templates[segment.template].nodes
    for node, cost in zip(nodes, priced.costs[segment.template], strict=True):
        if team is not None and node.team != team:
            continue
        slowest = cost.duration.max(axis=-1)
        picoseconds = int(slowest.sum()) if cost.duration.ndim > 1 else int(slowest) * segment.count
        if picoseconds:
            by_bound[cost.bound] = by_bound.get(cost.bound, 0) + picoseconds
        if isinstance(node.op, Outgoing) or group_size(node) > 1:
            sent += sent_bytes(node, width[program.teams[node.team]].width) * segment.count
    return WorkByBound(by_bound, sent)


def stage_work(timeline: Timeline, stage: int, team: int | None = None) -> WorkByBound:
    """One micro-batch of a stage."""
    program = timeline.priced.graph.programs[0][stage]
    return added(segment_work(timeline, program, segment, team) for segment in program.segments)


def added(works: Iterable[WorkByBound]) -> WorkByBound:
    """One after the other."""
    by_bound: dict[Bound, int] = {}
    sent = 0.0
    for work in works:
        sent += work.sent_bytes
        for bound, picoseconds in work.by_bound.items():
            by_bound[bound] = by_bound.get(bound, 0) + picoseconds
    return WorkByBound(by_bound, sent)


def passages(timeline: Timeline) -> dict[tuple[int, int], int]:
    """Picoseconds of all copies of a segment in the first micro-batch, by stage and position in its program.

    From the first start to the last end, so that what overlaps counts once and waiting for another pool counts.
    """
    found: dict[tuple[int, int], tuple[int, int]] = {}
    first = timeline.runs[0].micro_batch if len(timeline.runs) else 0
    for run in timeline.runs:
        if run.step or run.size or run.micro_batch != first:
            continue
        nodes = range(len(timeline.priced.graph.templates[run.template].nodes))
        begin = min(int(run.start(0, node).min()) for node in nodes)
        last = run.count - 1
        end = max(int((run.start(last, node) + duration_of(timeline, run, last, node)).max()) for node in nodes)
        place = (run.stage, run.position)
        known = found.get(place, (begin, end))
        found[place] = (min(known[0], begin), max(known[1], end))
    return {place: end - begin for place, (begin, end) in found.items()}


def period(timeline: Timeline) -> int:
    """Picoseconds in which every micro-batch passes once: the phase, in the steady state of decode an interval."""
    return max(timeline.interval, 1)


def sent_by(timeline: Timeline, stage: int, ops: tuple[type[Op], ...]) -> float:
    """Bytes that nodes of these kinds send for one micro-batch of a stage, over all ranks."""
    program = timeline.priced.graph.programs[0][stage]
    return sum(
        sent_bytes(node, timeline.priced.graph.teams[program.teams[node.team]].width) * segment.count
        for segment in program.segments
        for node in timeline.priced.graph.templates[segment.template].nodes
        if isinstance(node.op, ops)
    )


def sent_bytes(node: Node, width: int) -> float:
    """Bytes of a communication over a team's ranks; 0 for what is none."""
    return total(node.communication.bytes, width) if node.communication else 0.0
