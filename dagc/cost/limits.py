"""The largest batch and the longest context that fit, found by asking for the memory of the plan with each.

Memory grows with the batch and with the prompt, so there is one largest of each: it fits, and one more does not. The
search begins at what a straight line through two batches (or prompts) foretells and then halves what is left; what
decides is `rank_memory` alone. Of requests that come and go it is what fits with all of them there in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dagc.cost.memory import rank_memory
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

MOST_SEQUENCES = 10**9
MOST_TOKENS = 10**8
"""As far as is looked: the most that a workload may state."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What would still fit into every pool, all else as in the plan.

    `batch` is of the whole deployment, 0 where not one sequence a replica fits. `context` is prompt and output of a
    sequence (the prompt alone where no pool decodes), with the workload's batch and output; 0 where no prompt fits.
    None: more than a workload may state.
    """

    batch: int | None
    context: int | None


def memory_limits(plan: Plan) -> MemoryLimits:
    """The limits of a plan whose model has shapes."""
    workload = plan.facts.workload
    prompt = _largest(lambda number: _free(plan, prompt=number), workload.prompt, MOST_TOKENS)
    decodes = any(service.phase is not Phase.PREFILL for service in plan.deployment.services)
    output = workload.output if decodes else 0
    return MemoryLimits(largest_batch(plan), prompt + output if prompt else prompt)


def largest_batch(plan: Plan) -> int | None:
    """The most sequences of the whole deployment that fit; None for more than a workload may state."""
    return _largest(lambda number: _free(plan, batch=number), plan.facts.workload.batch, MOST_SEQUENCES)


def largest_chunk(plan: Plan) -> int | None:
    """The most tokens of a prompt that a rank can take at once; None for more than a workload may state."""
    return _largest(lambda number: _free(plan, chunk=number), plan.facts.workload.chunk, MOST_TOKENS)


def _free(plan: Plan, **changes: int) -> float:
    """Bytes that are free on the fullest rank of the deployment with another workload; negative where it lacks them."""
    workload = replace(plan.facts.workload, concurrency=None, **changes)
    facts = replace(plan.facts, workload=workload)
    return min(pool.capacity_bytes - pool.max_bytes for pool in rank_memory(replace(plan, facts=facts)))


def _largest(free: Callable[[int], float], start: int, most: int) -> int | None:
    """The largest number up to `most` with nothing lacking; 0 where 1 lacks something, None where `most` does not."""
    at_one = free(1)
    if at_one < 0:
        return 0
    low = _between(free, _foretold(at_one, free(start) if start > 1 else at_one, start), 1, most + 1)
    return None if low == most else low


def _between(free: Callable[[int], float], guess: int, low: int, high: int) -> int:
    """The largest number with nothing lacking, between one of these and one that lacks something or is not asked for.

    Begins at the guess, goes from there in growing steps, and halves where these lead no further.
    """
    step = 1
    while high - low > 1:
        middle = guess if low < guess < high else (low + high) // 2
        if free(middle) >= 0:
            low, guess = middle, middle + step
        else:
            high, guess = middle, middle - step
        step *= 4
    return low


def _foretold(at_one: float, at_start: float, start: int) -> int:
    """Where a straight line through 1 and `start` reaches nothing free; 0 where it does not fall."""
    slope = (at_one - at_start) / (start - 1) if start > 1 else 0.0
    return int(at_one / slope) + 1 if slope > 0 else 0
