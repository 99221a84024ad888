"""How many of the requests in flight run at once: engines admit a request when the cache has room for it.

What a rank has beside weights, activations, buffers and reserve holds sequences of the mean length, prompt and half of
the output, as engines do that take cache as sequences grow. An engine leaves a share of each device alone
(`Scheduling.memory_share`), a default that its users raise where it leaves no room for a sequence. A static batch is
not admitted: that it does not fit is an error of the plan.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor

import numpy as np

from dagc.cost.memory import MemoryPart, PoolMemory, rank_memory
from dagc.plan.plan import Plan

_BINARY = 2**30 / 1e9
"""A device sold with so many GB has about so many GiB: an H100 with 80 reports 81,559 MiB, a B200 with 180 183,359."""


def admitted(plan: Plan) -> Plan:
    """The plan whose batch is what runs at once: of a concurrency as many as the caches hold, at least one a rank."""
    workload = plan.facts.workload
    if workload.concurrency is None:
        return plan
    service = plan.deployment.services[-1]
    layout = service.attention_pool.attention
    parts = plan.deployment.replicas * service.replicas * (layout.dp if layout else 1)
    held = next(one for one in rank_memory(plan) if one.pool == service.attention_pool.name)
    running = min(workload.concurrency, parts * _sequences(plan, held, workload.concurrency / parts))
    if running == workload.batch:
        return plan
    return replace(plan, facts=replace(plan.facts, workload=replace(workload, batch=running)))


def _sequences(plan: Plan, memory: PoolMemory, asked: float) -> int:
    """Sequences of the mean length that the rank with least room holds."""
    workload, engine = plan.facts.workload, plan.facts.engine
    cache = memory.parts[MemoryPart.KV_CACHE]
    share = engine.serving.memory_share if engine else 1.0
    grown = (workload.prompt + workload.output / 2) / (workload.prompt + workload.output)
    each = np.maximum(cache, 1.0) / np.ceil(asked) * grown
    capacity, taken = memory.capacity_bytes * _BINARY, memory.total - cache
    fitting = (float(((capacity * part - taken) / each).min()) for part in (share, 1.0))
    return max(1, floor(next((count for count in fitting if count >= 1), 1.0)))
