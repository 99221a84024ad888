"""W125: the cluster is no multiple of a replica, so GPUs are left over that no replica fits into."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import cluster_gpus, label, states
from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W125", "idle-remainder", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one, and only where the plan states its cluster and has no room for another replica."""
    available, used = plan.facts.cluster.gpus, cluster_gpus(plan)
    if available is None or used == 0 or not states(plan, "cluster"):
        return
    each = used // plan.deployment.replicas
    if 0 < available - used < each:
        yield CODE.at(
            plan.deployment.strategy.body.outer,
            f"{gpus(available - used)} of {available} are left over, too few for a replica",
            f"{available} = {plan.deployment.replicas} × {each} + {available - used}",
            labels=label(plan.facts.cluster.spans, f"{gpus(available)} here", "gpus"),
            help=(f"use a cluster of {gpus(used)}, or a replica whose size divides {available}",),
        )
