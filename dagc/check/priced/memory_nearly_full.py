"""W901: a pool fits, but its fullest rank leaves less of the device free than the limit, a tenth by default.

Allocators fragment, communication buffers and graphs captured by an engine take their part: engines keep a tenth
back by default.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.cost.memory import PoolMemory
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import format_bytes, format_share

CODE = Code("W901", "memory-nearly-full", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning for each pool that fills more than the limit `memory`, and fits.

    None where the caches are full because more requests are in flight than they hold: that is another warning.
    """
    if assessment.admitted is not None:
        return
    limit = plan.facts.rules.limit("memory")
    for pool in assessment.memory.pools if assessment.memory else ():
        if limit < pool.share <= 1:
            yield _diagnostic(plan, pool, limit)


def _diagnostic(plan: Plan, pool: PoolMemory, limit: float) -> Diagnostic:
    free = pool.capacity_bytes - pool.max_bytes
    return CODE.at(
        plan.deployment.strategy.body.outer,
        f"rank {pool.fullest_rank} of pool `{pool.pool}` uses {format_share(pool.share)} of its device",
        f"{format_bytes(free)} of {format_bytes(pool.capacity_bytes)} are free",
        help=(f"keep {format_share(1 - limit)} free: reduce the batch, or shard the model further",),
    )
