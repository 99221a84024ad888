"""W104: the cluster has GPUs that the strategy does not use."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.facts import cluster_gpus, label, states
from dagc.check.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W104", "gpus-idle", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one, and only where the plan states its cluster."""
    available, used = plan.facts.cluster.gpus, cluster_gpus(plan)
    if available is None or used >= available or not states(plan, "cluster"):
        return
    yield CODE.at(
        plan.deployment.strategy.body.outer,
        f"`{plan.name}` uses {used} of the {gpus(available)}",
        f"{available - used} would stand idle",
        labels=label(plan.facts.cluster.spans, f"{gpus(available)} here", "gpus"),
        help=_help(plan.deployment.replicas, used, available),
    )


def _help(replicas: int, used: int, available: int) -> tuple[str, ...]:
    """As many replicas as fit, where that is more than there are."""
    each = used // replicas
    fitting = available // each if each else replicas
    return (f"`dp {fitting} < … >` would use {fitting * each}",) if fitting > replicas else ()
