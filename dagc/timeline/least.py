"""What no schedule of a priced phase can undercut, layer by layer.

A lane runs one node at a time, so a rank is busy for the sum of what stands on a lane: `busy`. A node starts when what
it depends on has ended, so from what enters a layer to what leaves it there are at least the durations along the
longest path between: `path`. Both are read off the durations of the nodes; nothing is scheduled. Where communication
depends on where ranks lie, a path of computation alone is a bound for every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dagc.graph.graph import Node, Template
from dagc.graph.priced import Costs, NodeCost, Picoseconds, PricedPhase
from dagc.ops.op import Lane
from dagc.timeline.tasks import Tasks, template_tasks

PATH, COMPUTING, BUSY, BESIDE = range(4)
"""Rows of least times. `PATH` is that of the rank with the shortest, `COMPUTING` the same without communication. `BUSY`
is the compute lane of the busiest rank of the stage's own team, `BESIDE` that of a pool of experts, 0 without one."""

_NEVER = -(1 << 61)
"""When what depends on nothing would have started: it lies on no path."""


@dataclass(slots=True)
class KnownLeast:
    """Least times of layers that were looked at before; held with the costs, by which they are known."""

    found: dict[int, tuple[Costs, Picoseconds]] = field(default_factory=dict[int, "tuple[Costs, Picoseconds]"])

    def of(self, template: Template, costs: Costs) -> Picoseconds:
        """Those of one template, shape (copies or 1, 4)."""
        if id(costs) not in self.found:
            self.found[id(costs)] = costs, _layer(template, costs)
        return self.found[id(costs)][1]


def least(priced: PricedPhase, known: KnownLeast | None = None) -> Picoseconds:
    """Least times of the layers before each, shape (4, layers + 1), so that layers a to b take column b less column a.

    The phase has one stage and one size of micro-batch. `known` are those of phases that share costs with this one.
    """
    known = known or KnownLeast()
    rows = [np.zeros((1, 4), dtype=np.int64)]
    for segment in priced.graph.programs[0][0].segments:
        if segment.first_layer is not None:
            each = known.of(priced.graph.templates[segment.template], priced.costs[segment.template])
            rows.append(np.broadcast_to(each, (segment.count, 4)))
    return np.cumsum(np.concatenate(rows), axis=0).T


def _layer(template: Template, costs: Sequence[NodeCost]) -> Picoseconds:
    """Path, path of computation, busy and beside of each copy, shape (copies or 1, 4)."""
    tasks = template_tasks(template, costs)
    if all(task.duration.size == 1 for task in tasks.tasks):
        return np.array([_even(template, tasks)])
    columns = (
        _path(template, tasks, with_communication=True),
        _path(template, tasks, with_communication=False),
        _busy(template.nodes, costs, 0),
        _busy(template.nodes, costs, 1),
    )
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def _even(template: Template, tasks: Tasks) -> tuple[int, int, int, int]:
    """The four of a template whose ranks and copies are all alike, without arrays."""
    durations = [int(task.duration.flat[0]) for task in tasks.tasks]
    computes = [node.op.lane is Lane.COMPUTE for node in template.nodes]
    teams = [node.team for node in template.nodes]
    each = list(zip(durations, computes, teams, strict=True))
    return (
        _even_path(template, tasks, durations),
        _even_path(template, tasks, [duration * computes for duration, computes, _ in each]),
        sum(duration for duration, computes, team in each if computes and team == 0),
        sum(duration for duration, computes, team in each if computes and team == 1),
    )


def _even_path(template: Template, tasks: Tasks, durations: Sequence[int]) -> int:
    """`_path` where every rank has the same durations."""
    starts = [0] * tasks.streams
    ends = list(starts)
    for task, duration in zip(tasks.tasks, durations, strict=True):
        sent = [tasks.streams + link for link in task.links]
        start = max([_NEVER, *(ends[dep] for dep in task.deps), *(starts[link] for link in sent)])
        starts.append(start)
        ends.append(max([start + duration, *(ends[link] for link in sent)]))
    return max(0, min(ends[tasks.streams + output] for output in template.outputs))


def _busy(nodes: Sequence[Node], costs: Sequence[NodeCost], team: int) -> Picoseconds:
    """Time of a team's compute lane in each copy, on the busiest rank, shape (copies or 1,)."""
    whole = np.zeros((1, 1), dtype=np.int64)
    for node, cost in zip(nodes, costs, strict=True):
        if node.team == team and node.op.lane is Lane.COMPUTE:
            whole = whole + np.atleast_2d(cost.duration)
    return whole.max(axis=1)


def _path(template: Template, tasks: Tasks, *, with_communication: bool) -> Picoseconds:
    """The longest way from what enters to what leaves in each copy, on the rank and in the stream where it is shortest.

    A receive begins when its send does: the send is passed through, and waited for to end.
    """
    never = np.full((1, 1), _NEVER)
    starts: list[Picoseconds] = [np.zeros((1, 1), dtype=np.int64)] * tasks.streams
    ends = list(starts)
    for node, task in zip(template.nodes, tasks.tasks, strict=True):
        start = never
        for dep in task.deps:
            start = np.maximum(start, _seen(ends[dep], tasks.teams[dep] == node.team))
        for link in task.links:
            start = np.maximum(start, starts[tasks.streams + link].min(axis=1, keepdims=True))
        counts = with_communication or node.op.lane is Lane.COMPUTE
        end = start + (np.atleast_2d(task.duration) if counts else 0)
        for link in task.links:
            end = np.maximum(end, ends[tasks.streams + link].min(axis=1, keepdims=True))
        starts.append(start)
        ends.append(end)
    leaving = [ends[tasks.streams + output].min(axis=1) for output in template.outputs]
    return np.maximum(np.minimum.reduce(leaving), 0)


def _seen(end: Picoseconds, is_own: bool) -> Picoseconds:
    """What another team yields, as each rank sees it: no sooner than that team's first rank has it."""
    return end if is_own else end.min(axis=1, keepdims=True)
