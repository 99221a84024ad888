"""Groups of ranks against the nodes that they lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.degrees import AxisKind
from dagc.plan.deployment import Pool, Service
from dagc.plan.layout import Layout, Ranks
from dagc.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class CrossingGroups:
    """Groups that lie on more than one node, of how many; `leaving` is the largest share of a group's pairs that do."""

    groups: int
    total: int
    leaving: float


def crossing(plan: Plan, service: Service, pool: Pool, layout: Layout, axis: AxisKind) -> CrossingGroups | None:
    """The groups of one axis that lie on more than one node; None where none does."""
    size = plan.facts.cluster.gpus_per_node
    groups = layout.groups((axis,))
    nodes = _ranks(plan, service, pool)[:, groups] // size
    crossed = nodes.min(axis=2) != nodes.max(axis=2)
    if not crossed.any():
        return None
    return CrossingGroups(int(crossed.sum()), crossed.size, max(map(_leaving, nodes[crossed])))


def _leaving(nodes: Ranks) -> float:
    """Share of a group's (sender, receiver) pairs, a rank with itself included, that lie on two nodes."""
    _, held = np.unique(nodes, return_counts=True)
    return 1 - float((held**2).sum()) / nodes.size**2


@dataclass(frozen=True, slots=True)
class ExpertGroupSpread:
    """An expert group of `size` ranks lies on `nodes` nodes, and would fit on `least`."""

    size: int
    nodes: int
    minimum: int


def spread(plan: Plan, service: Service) -> ExpertGroupSpread | None:
    """How an engine's numbers of ranks spread the expert groups of a service; None where they lie close together."""
    pool = service.experts_pool
    if pool.run is None or pool.experts is None:
        return None
    group = plan.deployment.global_ranks(service, pool, 0)[pool.experts.groups((AxisKind.EP,))[0]]
    node = plan.facts.cluster.gpus_per_node
    found = ExpertGroupSpread(group.size, np.unique(group // node).size, -(-group.size // node))
    return found if found.nodes > found.minimum else None


def fitting(degree: int, node: int) -> int:
    """The largest degree up to this one that divides a node."""
    return next(d for d in range(min(degree, node), 0, -1) if node % d == 0)


def _ranks(plan: Plan, service: Service, pool: Pool) -> Ranks:
    """Global ranks of every stage of every replica of a pool, shape (stages of all replicas, width)."""
    outer = np.arange(plan.deployment.replicas, dtype=np.int64) * plan.deployment.replica_stride
    inner = np.arange(service.replicas, dtype=np.int64) * service.replica_stride
    stages = np.stack([plan.deployment.global_ranks(service, pool, stage) for stage in range(pool.stages)])
    return (outer[:, None, None, None] + inner[:, None, None] + stages).reshape(-1, pool.width)
