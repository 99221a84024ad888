"""W104: the cluster has GPUs for more replicas than the strategy makes."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import cluster_gpus, label, states
from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W104", "gpus-idle", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one, and only where the plan states its cluster; what no replica fits into is W125's."""
    available, used = plan.facts.cluster.gpus, cluster_gpus(plan)
    if available is None or used == 0 or not states(plan, "cluster"):
        return
    each = used // plan.deployment.replicas
    fitting = available // each
    if fitting > plan.deployment.replicas:
        yield CODE.at(
            plan.deployment.strategy.body.outer,
            f"`{plan.name}` uses {used} of the {gpus(available)}",
            f"{available - used} would be idle",
            labels=label(plan.facts.cluster.spans, f"{gpus(available)} here", "gpus"),
            help=(f"`dp {fitting} < … >` would use {fitting * each}, or use a cluster of {gpus(used)}",),
        )
