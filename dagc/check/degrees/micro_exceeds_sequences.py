"""D106: more micro-batches than a replica has sequences."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_option
from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import replica_sequences
from dagc.units import counted

CODE = Code("D106", "micro-exceeds-sequences")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; only where the batch is stated."""
    if not states(plan, "workload"):
        return
    for service in plan.deployment.services:
        sequences = replica_sequences(plan.deployment, service, plan.facts.workload.batch)[0]
        if service.options.micro is not None and service.options.micro > max(sequences, 1):
            yield _diagnostic(plan, service, service.options.micro, sequences)


def _diagnostic(plan: Plan, service: Service, micro: int, sequences: int) -> Diagnostic:
    batch, replicas = plan.facts.workload.batch, plan.deployment.replicas * service.replicas
    return CODE.at(
        service.option_span("micro"),
        f"{micro} micro-batches of the {sequences} sequences of a replica",
        "a micro-batch holds at least one sequence",
        labels=label(
            plan.facts.workload.spans, f"{counted(batch, 'sequence')} over {counted(replicas, 'replica')}", "batch"
        ),
        offers=use_option(service.option_span("micro"), [f"micro {max(sequences, 1)}"], tail=" or less"),
    )
