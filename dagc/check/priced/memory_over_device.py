"""M101: the fullest rank of a pool needs more memory than its device has."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.report.assessment import Assessment
from dagc.report.memory import PoolFigures
from dagc.units import format_bytes, format_share

CODE = Code("M101", "memory-over-device")

_WORKING = ("activations", "communication")


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each pool that does not fit."""
    for pool in assessment.memory.pools if assessment.memory else ():
        if pool.max_bytes > pool.capacity_bytes:
            yield _diagnostic(plan, pool)


def _diagnostic(plan: Plan, pool: PoolFigures) -> Diagnostic:
    over = pool.max_bytes - pool.capacity_bytes
    where = f"rank {pool.rank} of pool `{pool.pool}`"
    return CODE.at(
        plan.deployment.strategy.body.outer,
        f"strategy `{plan.name}` needs {format_bytes(pool.max_bytes)} on {where}; "
        f"`{pool.device}` has {format_bytes(pool.capacity_bytes)}",
        f"{format_bytes(over)} too much: {format_share(pool.share)} of the device",
        notes=tuple(_table(pool)),
        help=tuple(_ways_out(plan, pool)),
    )


def _table(pool: PoolFigures) -> Iterator[str]:
    """The parts, largest first, each with its share of what is needed."""
    for name, size in sorted(pool.parts, key=lambda part: -part[1]):
        if size > 0:
            yield f"{name}: {format_bytes(size)}, {format_share(size / pool.max_bytes)} of what is needed"


def _ways_out(plan: Plan, pool: PoolFigures) -> Iterator[str]:
    """Each way alone, with the value that it takes; what cannot help alone is not offered.

    Weights and cache divide with the stages, the cache with the batch, working memory with the chunk of the prefill.
    """
    over = pool.max_bytes - pool.capacity_bytes
    divisible, cache, working = pool.part("weights", "kv_cache"), pool.part("kv_cache"), pool.part(*_WORKING)
    workload = plan.facts.workload
    if divisible > over:
        factor = divisible / (divisible - over)
        stages = ceil(max(service.stages for service in plan.deployment.services) * factor)
        yield f"hold {factor:.3g} times less of the model on each GPU: at least {stages} stages, or more `tp` or `ep`"
    if floor(workload.batch * (cache - over) / cache if cache else 0) >= 1:
        yield f"or a batch of {floor(workload.batch * (cache - over) / cache)} in place of {workload.batch} sequences"
    if floor(workload.chunk * (working - over) / working if working else 0) >= 1:
        yield f"or a prefill chunk of {floor(workload.chunk * (working - over) / working)} tokens"
