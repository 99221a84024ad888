"""W105: a tp group lies on more than one node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.check.facts import states
from dagc.check.words import counted
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Pool, Service
from dagc.plan.layout import Layout, Ranks
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("W105", "tp-across-nodes", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each written `tp`; only where the plan states its cluster."""
    if not states(plan, "cluster"):
        return
    seen: set[int] = set()
    for service in plan.deployment.services:
        for pool in service.pools:
            for layout in (pool.attention, pool.experts):
                found = _judge(plan, service, pool, layout) if layout else None
                if found is not None and found.span is not None and found.span.start not in seen:
                    seen.add(found.span.start)
                    yield found


def _judge(plan: Plan, service: Service, pool: Pool, layout: Layout) -> Diagnostic | None:
    node = plan.facts.cluster.gpus_per_node
    factor = next((f for f in layout.factors if f.axis is AxisKind.TP and f.span is not None), None)
    if factor is None or factor.degree == 1:
        return None
    nodes = _ranks(plan, service, pool)[:, layout.groups((AxisKind.TP,))] // node
    crossing = int((nodes.min(axis=2) != nodes.max(axis=2)).sum())
    if not crossing:
        return None
    total = nodes.shape[0] * nodes.shape[1]
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` crosses nodes of {node} GPUs",
        f"{crossing} of {counted(total, 'tp group')} over the slower network between nodes",
        help=(_help(factor.degree, node),),
    )


def _ranks(plan: Plan, service: Service, pool: Pool) -> Ranks:
    """Global ranks of every stage of every replica of a pool, shape (stages of all replicas, width)."""
    outer = np.arange(plan.deployment.replicas, dtype=np.int64) * plan.deployment.replica_stride
    inner = np.arange(service.replicas, dtype=np.int64) * service.replica_stride
    stages = np.stack([plan.deployment.global_ranks(service, pool, stage) for stage in range(pool.stages)])
    return (outer[:, None, None, None] + inner[:, None, None] + stages).reshape(-1, pool.width)


def _help(degree: int, node: int) -> str:
    if degree > node or node % degree:
        fitting = next(d for d in range(min(degree, node), 0, -1) if node % d == 0)
        return f"`tp {fitting}` fits within a node"
    return f"`tp {degree}` divides a node of {node}: make what stands before it a multiple of {degree} GPUs"
