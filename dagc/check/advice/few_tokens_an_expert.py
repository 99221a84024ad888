"""W122: a decode step has fewer tokens than experts to visit, so most weights are read for at most one token."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_sequences
from dagc.units import counted

CODE = Code("W122", "few-tokens-an-expert", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service that decodes; only where the batch is stated."""
    if not states(plan, "workload") or not plan.facts.model.expert_count or not plan.facts.model.top:
        return
    for service in plan.deployment.services:
        if service.phase is not Phase.PREFILL and service.experts_pool.experts is not None:
            yield from _judge(plan, service, plan.facts.model.expert_count, plan.facts.model.top)


def _judge(plan: Plan, service: Service, experts: int, top: int) -> Iterator[Diagnostic]:
    sequences = fullest_replica(plan.deployment, service, plan.facts.workload.batch)
    tokens = micro_batch_sequences(service, sequences)[0]
    groups = service.experts_pool.experts.dp if service.experts_pool.experts else 1
    slots, least = experts * groups, plan.facts.rules.limit("expert_tokens")
    if tokens * top >= least * slots:
        return
    copies = f" in {groups} groups" if groups > 1 else ""
    parts = service.options.micro or service.stages
    needed = ceil(least * slots / top) * parts * plan.deployment.replicas * service.replicas
    yield CODE.at(
        service.span,
        f"a decode step brings each expert {tokens * top / slots:.3g} tokens on average",
        f"{counted(tokens, 'sequence')} of a micro-batch × top {top} over {experts} experts{copies}",
        labels=label(plan.facts.workload.spans, f"{counted(plan.facts.workload.batch, 'sequence')}", "batch"),
        help=(f"a batch of {needed} brings each {least:g}; fewer replicas or micro-batches raise it too",),
    )
