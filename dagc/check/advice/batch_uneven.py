"""W103: the batch does not divide evenly over replicas and attention dp."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("W103", "batch-uneven", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; only where the batch is stated, and where every rank has a sequence."""
    if not states(plan, "workload") or plan.facts.workload.is_open:
        return
    for service in plan.deployment.services:
        replicas, inner = _parts(plan, service)
        batch = plan.facts.workload.batch
        if batch >= replicas * inner and batch % (replicas * inner):
            yield _diagnostic(plan, service, replicas, inner)


def _parts(plan: Plan, service: Service) -> tuple[int, int]:
    return plan.deployment.replicas * service.replicas, service.attention_ranks


def _diagnostic(plan: Plan, service: Service, replicas: int, inner: int) -> Diagnostic:
    batch, parts = plan.facts.workload.batch, replicas * inner
    over = (
        f"{counted(replicas, 'replica')} × attention dp {inner} = {parts}"
        if inner > 1
        else f"{counted(replicas, 'replica')}"
    )
    above = -(-batch // parts) * parts
    return CODE.at(
        service.span,
        f"a batch of {batch} does not divide evenly over {parts} data-parallel ranks",
        over if replicas > 1 else f"attention is dp {inner} here",
        labels=label(plan.facts.workload.spans, f"{counted(batch, 'sequence')}", "batch"),
        help=(f"`batch {above}` gives each {above // parts}",),
    )
