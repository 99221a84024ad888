"""The largest batch and the longest context that fit, found by asking for the memory of the plan with each.

Memory grows with the batch and with the prompt, so there is one largest of each: it fits, and one more does not. The
search goes on where a straight line through the last two batches (or prompts) foretells it; what decides is
`rank_memory` alone. Of requests that come and go it is what fits with all of them there in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import floor

from dagc.cost.memory import rank_memory
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

MOST_SEQUENCES = 10**9
MOST_TOKENS = 10**8
"""As far as is looked: the most that a workload may state."""

_LINES = 24
"""Numbers that are asked for by straight lines; from then on what is left is halved."""


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
    low, high, step, lines = 1, most + 1, 1, _LINES
    before, last = (1, at_one), (start, free(start)) if start > 1 else (1, at_one)
    while True:
        if last[1] >= 0:
            low = max(low, last[0])
        else:
            high = min(high, last[0])
        if high - low <= 1:
            return None if low == most else low
        number = _foretold(before, last) if lines else (low + high) // 2
        if not low < number < high:
            # The line ends at what is known, on this side of it or on the other: a growing step beyond.
            number = min(low + step, high - 1) if number <= low else max(high - step, low + 1)
            step *= 4
        before, last, lines = last, (number, free(number)), max(0, lines - 1)


def _foretold(before: tuple[int, float], last: tuple[int, float]) -> int:
    """The last number at which the straight line through two points has something free; 0 where it does not fall."""
    slope = (before[1] - last[1]) / (last[0] - before[0]) if last[0] != before[0] else 0.0
    return floor(last[0] + last[1] / slope) if slope > 0 else 0
