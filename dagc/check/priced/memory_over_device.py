"""M101: the fullest rank of a pool needs more memory than its device has.

Of requests that come and go that is one on each rank of attention, for the others can wait (W151).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from dagc.cost.memory import MemoryPart, PoolMemory
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan, missing_shapes
from dagc.results.assessment import Assessment
from dagc.results.memory import part_title
from dagc.units import format_bytes, format_share

CODE = Code("M101", "memory-over-device")


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each pool that does not fit."""
    for pool in assessment.memory.pools if assessment.memory else ():
        if pool.max_bytes > pool.capacity_bytes:
            yield _diagnostic(plan, pool)


def _diagnostic(plan: Plan, pool: PoolMemory) -> Diagnostic:
    over = pool.max_bytes - pool.capacity_bytes
    where = f"rank {pool.fullest_rank} of pool `{pool.pool}`"
    return CODE.at(
        plan.deployment.strategy.body.outer,
        f"strategy `{plan.name}` needs {format_bytes(pool.max_bytes)} on {where}; "
        f"`{pool.device}` has {format_bytes(pool.capacity_bytes)}",
        f"{format_bytes(over)} over capacity: {format_share(pool.share)} of the device",
        notes=(*_table(pool), *_one_each(plan)),
        help=tuple(_ways_out(plan, pool)),
    )


def _table(pool: PoolMemory) -> Iterator[str]:
    """The parts, largest first, each with its share of the total."""
    for name, size in sorted(pool.max_parts.items(), key=lambda part: -part[1]):
        if size > 0:
            yield f"{part_title(name)}: {format_bytes(size)}, {format_share(size / pool.max_bytes)} of the total"


def _one_each(plan: Plan) -> Iterator[str]:
    if plan.facts.workload.concurrency is not None:
        yield "with one request per attention rank, the minimum"


def _ways_out(plan: Plan, pool: PoolMemory) -> Iterator[str]:
    """Each way alone, with the value that it takes; what cannot help alone is not offered.

    Weights and cache divide with the stages, which is an estimate; batch and chunk are the largest that fit.
    """
    from dagc.cost.limits import largest_batch, largest_chunk

    over = pool.max_bytes - pool.capacity_bytes
    parts, workload = pool.max_parts, plan.facts.workload
    divisible = parts[MemoryPart.WEIGHTS] + parts[MemoryPart.KV_CACHE]
    if divisible > over:
        factor = divisible / (divisible - over)
        stages = ceil(max(service.stages for service in plan.deployment.services) * factor)
        yield f"reduce the model per GPU by a factor of {factor:.3g}: at least {stages} stages, or more `tp` or `ep`"
    if missing_shapes(plan):
        return
    batch, chunk = largest_batch(plan), largest_chunk(plan)
    if batch is not None and 0 < batch < workload.batch:
        yield f"or a batch of {batch} in place of {workload.batch} sequences"
    if chunk is not None and 0 < chunk < workload.chunk:
        yield f"or a prefill chunk of {chunk} tokens"
