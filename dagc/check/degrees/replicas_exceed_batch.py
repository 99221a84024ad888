"""D107: more replicas than sequences of a static batch.

Where requests come and go, a replica without one waits for the next: W152.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import downwards, use_degree
from dagc.check.helpers.labels import label, states
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.scopes import subtrees
from dagc.syntax.tree import Axis
from dagc.units import counted

CODE = Code("D107", "replicas-exceed-batch")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for the service with too many; only where the batch is stated."""
    if not states(plan, "workload") or plan.facts.workload.concurrency is not None:
        return
    outer = plan.deployment.replicas
    crowded = [s for s in plan.deployment.services if outer * s.replicas > plan.facts.workload.batch]
    for service in crowded if outer <= plan.facts.workload.batch else crowded[:1]:
        yield _diagnostic(plan, service)


def _diagnostic(plan: Plan, service: Service) -> Diagnostic:
    batch, outer = plan.facts.workload.batch, plan.deployment.replicas
    replicas = outer * service.replicas
    axis = _replica_axis(plan, service)
    fitting = batch if outer > batch else batch // outer
    return CODE.at(
        axis.span if axis else service.span,
        f"{counted(replicas, 'replica')} for a batch of {batch} sequences",
        f"{replicas - batch} of the replicas would be idle",
        labels=label(plan.facts.workload.spans, f"{counted(batch, 'sequence')} over the whole deployment", "batch"),
        offers=use_degree(plan, axis.span if axis else None, downwards(plan, axis, fitting)),
    )


def _replica_axis(plan: Plan, service: Service) -> Axis | None:
    """The outermost `dp` of the deployment, or of the service where that one fits."""
    axes = [a for a in subtrees(plan.deployment.strategy.body) if isinstance(a, Axis) and a.kind is AxisKind.DP]
    if plan.deployment.replicas > plan.facts.workload.batch:
        return axes[0]
    return next((a for a in axes if service.span.start < a.span.start < service.span.end), axes[0])
