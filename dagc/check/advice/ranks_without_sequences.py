"""W133: attention's dp has more ranks than a micro-batch has sequences."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_sequences
from dagc.units import counted

CODE = Code("W133", "ranks-without-sequences", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; only where the batch is stated, and gives every stage a micro-batch."""
    if not states(plan, "workload"):
        return
    for service in plan.deployment.services:
        layout = service.attention_pool.attention
        sequences = fullest_replica(plan.deployment, service, plan.facts.workload.batch)
        parts = micro_batch_sequences(service, sequences)
        wanted = service.options.micro or service.stages
        if layout is not None and parts[0] < layout.dp and len(parts) == wanted:
            yield _diagnostic(plan, service, layout.dp, parts)


def _diagnostic(plan: Plan, service: Service, dp: int, parts: tuple[int, ...]) -> Diagnostic:
    batch, replicas = plan.facts.workload.batch, plan.deployment.replicas * service.replicas
    shares = f"{batch} / {replicas} replicas / {len(parts)} micro-batches" if replicas * len(parts) > 1 else f"{batch}"
    return CODE.at(
        service.span,
        f"{dp - parts[0]} of the {dp} data-parallel ranks of attention have no sequence",
        f"attention is dp {dp}, and a micro-batch has {parts[0]}: {shares}",
        labels=label(plan.facts.workload.spans, f"{counted(batch, 'sequence')}", "batch"),
        help=(f"`batch {dp * len(parts) * replicas}` gives each one; or give attention more `tp` and less dp",),
    )
