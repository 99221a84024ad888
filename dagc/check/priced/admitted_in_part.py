"""W151: more requests are in flight than the caches hold, so that some wait before they are admitted."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.cost.memory import MemoryPart
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import format_bytes

CODE = Code("W151", "admitted-in-part", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning where fewer run at once than are in flight, and the plan fits."""
    workload, memory = plan.facts.workload, assessment.memory
    asked, running = workload.concurrency, assessment.admitted
    if asked is None or running is None or memory is None or memory.fullest.share > 1:
        return
    pool = memory.fullest
    beside = pool.max_bytes - pool.max_parts[MemoryPart.KV_CACHE]
    yield CODE.at(
        workload.spans.get("concurrency", plan.deployment.strategy.body.outer),
        f"{running} of the {asked} requests in flight run concurrently under strategy `{plan.name}`",
        f"{asked - running} queue: limited by KV-cache capacity",
        notes=(
            f"a request needs KV cache for {workload.prompt + workload.output / 2:,.0f} tokens on average: "
            "its prompt and half of its output",
            f"rank {pool.fullest_rank} of pool `{pool.pool}` has {format_bytes(beside)} beside its cache, of "
            f"{format_bytes(pool.capacity_bytes)}",
            f"TPOT and throughput are for {running} in flight",
        ),
        help=(
            f"`concurrency {running}`; or more KV-cache capacity: more replicas, or more `tp`, `ep` or `pp` in each",
        ),
    )
