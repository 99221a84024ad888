"""W136: the GPUs of a cluster are no multiple of a node."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label
from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W136", "node-partly-filled", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one; a cluster smaller than a node is part of one."""
    cluster = plan.facts.cluster
    node, count = cluster.gpus_per_node, cluster.gpus
    if count is None or count < node or count % node == 0:
        return
    span = cluster.spans.get("gpus") or cluster.spans.get("cluster")
    yield CODE.at(
        span,
        f"{gpus(count)} do not fill nodes of {node}",
        f"{count} = {count // node} × {node} + {count % node}",
        labels=label(cluster.spans, f"{gpus(node)} per node", "node"),
        help=(f"use {count // node * node} or {(count // node + 1) * node} GPUs, or state the size of a node",),
    )
