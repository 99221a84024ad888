"""W151: more requests are in flight than the caches hold or steps have room for, so that some wait for admission."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from dagc.cost.memory import MemoryPart, PoolMemory
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.plan.step_limits import running_limit, scheduler_of, step_limits
from dagc.results.assessment import Assessment
from dagc.units import format_bytes

CODE = Code("W151", "admitted-in-part", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning where fewer run at once than are in flight, and the plan fits."""
    workload, memory = plan.facts.workload, assessment.memory
    asked, running = workload.concurrency, assessment.admitted
    if asked is None or running is None or memory is None or memory.fullest.share > 1:
        return
    limit, notes, help = _of_steps(plan, running) or _of_caches(plan, running, memory.fullest)
    yield CODE.at(
        workload.spans.get("concurrency", plan.deployment.strategy.body.outer),
        f"{running} of the {asked} requests in flight run concurrently under strategy `{plan.name}`",
        f"{asked - running} queue: limited by {limit}",
        notes=(*notes, f"TPOT and throughput are for {running} in flight"),
        help=(help,),
    )


def _of_steps(plan: Plan, running: int) -> tuple[str, tuple[str, ...], str] | None:
    """What limits them, notes and help where it is the token budget of a step; else None."""
    most, scheduler = running_limit(plan), scheduler_of(plan.facts)
    if most is None or running < most or scheduler.token_budget is None:
        return None
    service, workload = plan.deployment.services[-1], plan.facts.workload
    caches, tokens = plan.deployment.cache_count(service), 1 + workload.drafted
    title = plan.facts.engine.title if plan.facts.engine else "the engine"
    note = (
        f"{title} computes a prompt in one step: {workload.fresh:,} tokens beside {most // caches - 1:,} decoded "
        f"sequences, of {step_limits(plan, service).budget:,} on a rank"
    )
    budget = workload.fresh + (ceil((workload.concurrency or 1) / caches) - 1) * tokens
    help = f"`{scheduler.token_budget.option} {budget}` or `{scheduler.chunks.option} yes` in the `engine` block"
    return "the token budget of a step", (note,), help


def _of_caches(plan: Plan, running: int, pool: PoolMemory) -> tuple[str, tuple[str, ...], str]:
    """The same where it is the KV cache."""
    workload = plan.facts.workload
    beside = pool.max_bytes - pool.max_parts[MemoryPart.KV_CACHE]
    notes = (
        f"a request needs KV cache for {workload.prompt + workload.output / 2:,.0f} tokens on average: "
        "its prompt and half of its output",
        f"rank {pool.fullest_rank} of pool `{pool.pool}` has {format_bytes(beside)} beside its cache, of "
        f"{format_bytes(pool.capacity_bytes)}",
    )
    return (
        "KV-cache capacity",
        notes,
        f"`concurrency {running}`; or more KV-cache capacity: more replicas, or more `tp`, `ep` or `pp` in each",
    )
