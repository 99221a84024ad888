"""A scheduled phase becomes a table of its operators: what each does, how long it takes, what bounds it.

Executions of one operator over stages, layers and micro-batches are added up, each on its slowest rank, so a rate is
what is achieved where the time goes. Operators whose work another's kernel does are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.graph.graph import Node
from dagc.graph.priced import PICOSECONDS, NodeCost
from dagc.ops.communication import Pattern
from dagc.ops.load import Load
from dagc.ops.op import Category, OpKind
from dagc.schedule.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of one phase on one pool, over all its executions.

    `flops` and `bytes` (memory traffic, or what a communication handles) and `seconds` are sums over `executions` of
    one rank each, the slowest. `bound` and `source` are those of the execution that takes longest.
    """

    key: str
    title: str
    category: Category
    kind: OpKind
    pool: str
    dtype: str
    pattern: Pattern | None
    group: int
    nodes: int
    executions: int
    seconds: float
    flops: float
    bytes: float
    bound: str
    source: str

    @property
    def intensity(self) -> float | None:
        """FLOP for each byte of memory traffic; None where either is nothing."""
        return self.flops / self.bytes if self.flops and self.bytes and self.pattern is None else None

    @property
    def flops_per_second(self) -> float:
        """The achieved rate."""
        return self.flops / self.seconds if self.seconds else 0.0


def operators(timeline: Timeline) -> tuple[Operator, ...]:
    """The operators of a phase, those that take longest first."""
    graph, costs = timeline.priced.graph, timeline.priced.costs
    found: dict[tuple[str, str, str], list[Operator]] = {}
    for size, program, _, segment in graph.segments():
        often = graph.uses[size]
        for node, cost in zip(graph.templates[segment.template].nodes, costs[segment.template], strict=True):
            if node.fused_into is None and often:
                pool = graph.teams[program.teams[node.team]].pool
                one = _operator(node, cost, pool, segment.count, often)
                found.setdefault((one.key, one.pool, one.dtype), []).append(one)
    return tuple(sorted((_sum(same) for same in found.values()), key=lambda one: -one.seconds))


def _operator(node: Node, cost: NodeCost, pool: str, copies: int, often: int) -> Operator:
    """All executions in one segment."""
    communication = node.communication
    handled = communication.bytes if communication else node.memory_bytes
    times = often if cost.duration.ndim > 1 else often * copies
    return Operator(
        key=node.key,
        title=node.op.title,
        category=node.op.category,
        kind=node.op.kind,
        pool=pool,
        dtype=node.dtype.value,
        pattern=communication.pattern if communication else None,
        group=communication.groups.size if communication else 1,
        nodes=int(communication.groups.nodes.max()) if communication else 1,
        executions=copies * often,
        seconds=_at_slowest(cost, cost.duration) * times / PICOSECONDS,
        flops=_at_slowest(cost, node.flops) * times,
        bytes=_at_slowest(cost, handled) * times,
        bound=cost.bound.value,
        source=cost.source,
    )


def _at_slowest(cost: NodeCost, load: Load | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """A load on the rank that takes longest; where copies differ, the sum over these."""
    shape = np.broadcast_shapes(cost.duration.shape, load.shape)
    duration, values = np.broadcast_to(cost.duration, shape), np.broadcast_to(load, shape)
    slowest = np.expand_dims(duration.argmax(axis=-1), -1)
    return float(np.take_along_axis(values, slowest, axis=-1).sum())


def _sum(same: list[Operator]) -> Operator:
    longest = max(same, key=lambda one: one.seconds / one.executions)
    return Operator(
        longest.key, longest.title, longest.category, longest.kind, longest.pool, longest.dtype, longest.pattern,
        longest.group, longest.nodes, sum(one.executions for one in same), sum(one.seconds for one in same),
        sum(one.flops for one in same), sum(one.bytes for one in same), longest.bound, longest.source,
    )  # fmt: skip
