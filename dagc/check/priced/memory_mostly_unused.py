"""W126: a model is split over GPUs of which even the fullest stays almost empty."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.cost.memory import PoolMemory
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import format_bytes, format_gpus, format_share

CODE = Code("W126", "memory-mostly-unused", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """At most one, for a replica of more than one GPU; only where model, cluster and workload are stated."""
    is_split = any(service.gpus_per_replica > 1 for service in plan.deployment.services)
    if assessment.memory is None or not is_split or plan.facts.defaulted:
        return
    fullest, limit = assessment.memory.fullest, plan.facts.rules.limit("unused_memory")
    if fullest.share < limit:
        yield _diagnostic(plan, fullest, limit)


def _diagnostic(plan: Plan, pool: PoolMemory, limit: float) -> Diagnostic:
    replica = max(service.gpus_per_replica for service in plan.deployment.services)
    return CODE.at(
        plan.deployment.strategy.body.outer,
        f"a replica of {format_gpus(replica)} fills {format_share(pool.share)} of their memory",
        f"{format_bytes(pool.max_bytes)} of {format_bytes(pool.capacity_bytes)} on the fullest; "
        f"the limit is {format_share(limit)}",
        help=("memory allows fewer GPUs: use a smaller replica and more of them, or a larger batch",),
    )
