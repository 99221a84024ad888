"""W104: the cluster has GPUs that the strategy does not use."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.facts import label, states
from dagc.check.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W104", "gpus-idle", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one, and only where the plan states its cluster."""
    available, used = plan.facts.cluster.gpus, plan.deployment.gpus
    if available is None or used >= available or not states(plan, "cluster"):
        return
    copies = available // used
    yield CODE.at(
        plan.deployment.strategy.body.outer,
        f"`{plan.name}` uses {used} of the {gpus(available)}",
        f"{available - used} would stand idle",
        labels=label(plan.facts.cluster.spans, f"{gpus(available)} here", "gpus"),
        help=(f"{copies} replicas fit: `dp {copies} < … >`",) if copies > 1 else (),
    )
