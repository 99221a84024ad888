"""W132: fewer micro-batches than stages, so that some stages always wait."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_option
from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_count
from dagc.units import counted

CODE = Code("W132", "fewer-micro-than-stages", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service, where `micro` or the batch is stated."""
    for service in plan.deployment.services:
        sequences = fullest_replica(plan.deployment, service, plan.facts.workload.batch)
        count = micro_batch_count(service, sequences)
        is_stated = service.options.micro is not None or states(plan, "workload")
        if is_stated and count < service.stages:
            yield _diagnostic(plan, service, count, sequences)


def _diagnostic(plan: Plan, service: Service, count: int, sequences: int) -> Diagnostic:
    by_batch, place = sequences < service.stages, service.option_span("micro")
    return CODE.at(
        place or service.span,
        f"at most {count} of {service.stages} stages are busy at a time",
        f"a replica has {counted(sequences, 'sequence')}" if by_batch else counted(count, "micro-batch", "es"),
        labels=label(plan.facts.workload.spans, f"{counted(plan.facts.workload.batch, 'sequence')}", "batch"),
        help=(f"a replica needs {service.stages} sequences, or fewer stages",) if by_batch else (),
        offers=() if by_batch else use_option(place, [f"micro {service.stages}"], tail=" or more", applies=False),
    )
