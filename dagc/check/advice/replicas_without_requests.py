"""W152: fewer requests are in flight than there are replicas, so that some idle."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan

CODE = Code("W152", "replicas-without-requests", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; of a static batch that is an error."""
    if not states(plan, "workload") or plan.facts.workload.concurrency is None:
        return
    for service in plan.deployment.services:
        replicas = plan.deployment.replicas * service.replicas
        if replicas > plan.facts.workload.concurrency:
            yield _diagnostic(plan, service, replicas, plan.facts.workload.concurrency)


def _diagnostic(plan: Plan, service: Service, replicas: int, requests: int) -> Diagnostic:
    phase = "" if service.phase is Phase.BOTH else f" of {service.phase}"
    idle = replicas - requests
    return CODE.at(
        service.span,
        f"{idle} of the {replicas} replicas{phase} {'have' if idle > 1 else 'has'} no request",
        f"{requests} in flight, at most one on a replica",
        labels=label(plan.facts.workload.spans, f"{requests} requests in flight", "concurrency"),
        notes=("throughput counts the busy replicas, tokens/s/GPU counts all GPUs",),
        help=(f"`concurrency {replicas}` gives each one; or use fewer replicas",),
    )
