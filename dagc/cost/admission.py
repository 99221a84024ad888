"""How many of the requests in flight run at once: engines admit a request when the cache has room for it.

What a rank has beside weights, activations, buffers and reserve holds sequences of the mean length, prompt and half of
the output, as engines do that take cache as sequences grow. An engine leaves a share of each device alone, or of what
the rest leaves free (`Runtime.memory_share`). That is a default, which users raise where weights fill most of a device:
until the cache has half of what weights, activations and buffers leave. So more memory never holds fewer sequences.
Activations and buffers are those of what runs, in every pool, and leave room for one sequence in full. A static batch
is not admitted: that it does not fit is an error of the plan, and so is that not even one request on each rank fits.

An engine that does not split prompts admits one when a step has room for it beside the tokens of those that decode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

import numpy as np
import numpy.typing as npt

from dagc.cost.memory import MemoryPart, PoolMemory, rank_memory
from dagc.plan.plan import Plan
from dagc.plan.step_limits import running_limit

_BINARY = 2**30 / 1e9
"""A device sold with so many GB has about so many GiB: an H100 with 80 reports 81,559 MiB, a B200 with 180 183,359."""


_RAISED = 0.5
"""What the cache has of the memory that weights, activations and buffers leave, where the default gives it less."""


def admitted(plan: Plan) -> Plan:
    """The plan whose batch is what runs at once: of a concurrency as many as the caches hold, at least one a rank."""
    return with_memory(plan)[0]


def with_memory(plan: Plan) -> tuple[Plan, tuple[PoolMemory, ...]]:
    """The same with the memory of its ranks, which admission has found."""
    workload = plan.facts.workload
    if workload.concurrency is None:
        return plan, rank_memory(plan)
    caches = plan.deployment.cache_count(plan.deployment.services[-1])
    known = dict[int, tuple[PoolMemory, ...]]()
    running = _running(plan, caches, min(workload.concurrency, running_limit(plan) or workload.concurrency), known)
    found = plan if running == workload.batch else _with(plan, running)
    return found, known.get(running) or rank_memory(found)


def _with(plan: Plan, running: int) -> Plan:
    return replace(plan, facts=replace(plan.facts, workload=replace(plan.facts.workload, batch=running)))


def _running(plan: Plan, parts: int, most: int, known: dict[int, tuple[PoolMemory, ...]]) -> int:
    """Requests that run at once over so many parts that have caches of their own; one on each where none has room.

    `known` learns the memory that each number of requests needs.
    """

    def memory(running: int) -> tuple[PoolMemory, ...]:
        if running not in known:
            known[running] = rank_memory(_with(plan, running))
        return known[running]

    def room(running: int) -> float:
        """Sequences that the rank with least room holds beside what so many need. 0 where another part of these lacks
        memory that one on each rank would not.
        """
        if _lacks(memory(running)) and not _lacks(memory(lone)):
            return 0.0
        return _room(plan, memory(running), ceil(running / parts))

    lone = min(parts, most)
    return _largest(room, parts, most) or lone


def _largest(room: Callable[[int], float], parts: int, most: int) -> int:
    """The largest number up to `most` for which there is room, 0 for none; the more run, the less room is left."""
    if room(most) >= ceil(most / parts):
        return most
    low, high = min(parts * max(0, int(room(most))), most - 1), most
    if low:
        high = min(high, parts * int(room(low)) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if room(middle) >= ceil(middle / parts) else (low, middle)
    return low


def _lacks(memory: tuple[PoolMemory, ...]) -> bool:
    return any(pool.max_bytes > pool.capacity_bytes for pool in memory)


def _room(plan: Plan, memory: tuple[PoolMemory, ...], each: int) -> float:
    service, workload = plan.deployment.services[-1], plan.facts.workload
    held = next(one for one in memory if one.pool == service.attention_pool.name)
    grown = (workload.prompt + workload.output / 2) / (workload.prompt + workload.output)
    one = np.maximum(held.cache_of(workload.prompt + workload.output), 1.0) / each * grown
    return float((cache_room(plan, held) / one).min())


def cache_room(plan: Plan, memory: PoolMemory) -> npt.NDArray[np.float64]:
    """Bytes of a rank for the cache under the plan's engine; negative where the rest takes more than there is."""
    return np.maximum(default_room(plan, memory), _RAISED * whole_room(memory))


def default_room(plan: Plan, memory: PoolMemory) -> npt.NDArray[np.float64]:
    """The same, at the engine's default share."""
    share, free = plan.facts.runtime.memory_share, whole_room(memory)
    return share * free if plan.facts.runtime.shares_free_memory else free - (1 - share) * _whole(memory)


def whole_room(memory: PoolMemory) -> npt.NDArray[np.float64]:
    """The same, of all that weights, activations and buffers leave."""
    return _whole(memory) - (memory.total - memory.parts[MemoryPart.KV_CACHE])


def share_taken(plan: Plan, memory: PoolMemory) -> float:
    """The share that the engine is to be given: its default, or the one that users raise it to on the fullest rank.

    What is left of the device has room for activations, which SGLang does not count in its share.
    """
    share = plan.facts.runtime.memory_share
    if plan.facts.runtime.shares_free_memory:
        return share
    left = np.maximum(_RAISED * whole_room(memory), memory.parts[MemoryPart.ACTIVATIONS])
    return max(share, 1 - float(left.min()) / _whole(memory))


def _whole(memory: PoolMemory) -> float:
    return memory.capacity_bytes * _BINARY
