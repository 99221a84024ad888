"""What no schedule of a priced phase can undercut, layer by layer.

A lane runs one node at a time, so a rank is busy for the sum of what stands on a lane: `busy`. A node starts when what
it depends on has ended, so from what enters a layer to what leaves it there are at least the durations along the
longest path between: `path`. Both are read off the durations of the nodes; nothing is scheduled. Where communication
depends on where ranks lie, a path of computation alone is a bound for every place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dagc.graph.graph import Node, Template
from dagc.graph.priced import Costs, NodeCost, Picoseconds, PricedPhase
from dagc.ops.op import Lane
from dagc.schedule.structure import partner_of

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
    computes = [node.op.lane is Lane.COMPUTE for node in template.nodes]
    if all(cost.duration.size == 1 for cost in costs):
        durations = [int(cost.duration.flat[0]) for cost in costs]
        each = list(zip(durations, computes, [node.team for node in template.nodes], strict=True))
        even = (
            _even_path(template, durations),
            _even_path(template, [duration * computes for duration, computes, _ in each]),
            sum(duration for duration, computes, team in each if computes and team == 0),
            sum(duration for duration, computes, team in each if computes and team == 1),
        )
        return np.array([even])
    computing = [
        cost.duration if counts else np.zeros(1, np.int64) for cost, counts in zip(costs, computes, strict=True)
    ]
    columns = (
        _path(template, [cost.duration for cost in costs]),
        _path(template, computing),
        _busy(template.nodes, costs, 0),
        _busy(template.nodes, costs, 1),
    )
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def _waits(template: Template) -> Iterator[tuple[Node, list[int], int | None]]:
    """Each node with what it waits for, as indices of nodes or, below 0, of streams, and the send that it matches."""
    for node in template.nodes:
        partner = partner_of(node)
        yield node, [edge for edge in (*node.inputs, *node.after) if edge != partner], partner


def _even_path(template: Template, durations: Sequence[int]) -> int:
    """`_path` where every rank has the same durations, without arrays."""
    starts: list[int] = []
    ends: list[int] = []
    for (_, waits, partner), duration in zip(_waits(template), durations, strict=True):
        sent = [] if partner is None else [partner]
        start = max([_NEVER, *(ends[wait] if wait >= 0 else 0 for wait in waits), *(starts[send] for send in sent)])
        starts.append(start)
        ends.append(max([start + duration, *(ends[send] for send in sent)]))
    return max(0, min(ends[output] if output >= 0 else 0 for output in template.outputs))


def _busy(nodes: Sequence[Node], costs: Sequence[NodeCost], team: int) -> Picoseconds:
    """Time of a team's compute lane in each copy, on the busiest rank, shape (copies or 1,)."""
    whole = np.zeros((1, 1), dtype=np.int64)
    for node, cost in zip(nodes, costs, strict=True):
        if node.team == team and node.op.lane is Lane.COMPUTE:
            whole = whole + np.atleast_2d(cost.duration)
    return whole.max(axis=1)


def _path(template: Template, durations: Sequence[Picoseconds]) -> Picoseconds:
    """The longest way from what enters to what leaves in each copy, on the rank and in the stream where it is shortest.

    A receive begins when its send does: the send is passed through, and waited for to end. What another team yields is
    there no sooner than on that team's first rank.
    """
    entered = np.zeros((1, 1), dtype=np.int64)
    starts: list[Picoseconds] = []
    ends: list[Picoseconds] = []
    for (node, waits, partner), duration in zip(_waits(template), durations, strict=True):
        start = np.full((1, 1), _NEVER)
        for wait in waits:
            team, end = (template.nodes[wait].team, ends[wait]) if wait >= 0 else (0, entered)
            start = np.maximum(start, end if team == node.team else end.min(axis=1, keepdims=True))
        if partner is not None:
            start = np.maximum(start, starts[partner].min(axis=1, keepdims=True))
        end = start + np.atleast_2d(duration)
        if partner is not None:
            end = np.maximum(end, ends[partner].min(axis=1, keepdims=True))
        starts.append(start)
        ends.append(end)
    leaving = [(ends[output] if output >= 0 else entered).min(axis=1) for output in template.outputs]
    return np.maximum(np.minimum.reduce(leaving), 0)
