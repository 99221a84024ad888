"""Memory of each rank, by part, from the shapes of the model and the meaning of the strategy.

Turns a plan into bytes by stage and local rank for each pool: weights, KV cache, activations, communication buffers
and a reserve for what is neither. All replicas of a service hold the same but for the remainder of the batch; the
figures are those of the fullest. What an engine allocates beyond need (a cache filled to 90 % of the device) is not
modelled: this is what the plan requires, and `cache_tokens` what the rest of the device could hold.

Where requests come and go, what runs at once is what the caches hold (`dagc.cost.admission`): the cache of a rank is
that of its sequences in full, or what the device has beside all else, and that of one sequence in full at the least. A
prefill pool then holds the prompts that a chunk has room for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial

import numpy as np

from dagc.catalog.model import ModelShapes
from dagc.catalog.part import Part
from dagc.cost.buffers import activation_bytes, communication_bytes
from dagc.cost.cache import cache_at, cache_bytes, capacity_tokens, replica_tokens
from dagc.cost.holding import Bytes, Holding
from dagc.cost.weights import weight_bytes
from dagc.plan.deployment import Phase, Pool, Service
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan
from dagc.plan.step_limits import prefilling


class MemoryPart(StrEnum):
    """What memory is used for. `RESERVE` is what the cluster states: the engine's own."""

    WEIGHTS = "weights"
    KV_CACHE = "kv_cache"
    ACTIVATIONS = "activations"
    COMMUNICATION = "communication"
    RESERVE = "reserve"


@dataclass(frozen=True, eq=False)
class PoolMemory:
    """Bytes of each rank of one pool.

    Each part has shape (stages of the pool, width), or width 1 where the ranks of a stage are alike. `width` is the
    number of ranks a stage, `replicas` how many copies of the pool the deployment has. `ranks[stage]` are the global
    ranks of a stage, in the first replica. `weights` are those of `parts` by part of the model, `activations` by
    phase, of which `parts` has the larger. `cache_tokens` are the tokens of sequences whose cache fits beside all
    other parts, in the same shapes, and `cache_tokens_per_replica` those of all ranks of a replica together; infinite
    where the pool keeps no cache. `block_tokens` is the size of a block of cache. `cache_of` gives the bytes of cache
    when all sequences have so many tokens, in the shapes of a part; in full it is that of `parts`. `is_chunked` where
    prompts are computed in chunks, so that activations and buffers are those of one.
    """

    pool: str
    device: str
    capacity_bytes: float
    width: int
    replicas: int
    ranks: tuple[Ranks, ...]
    parts: dict[MemoryPart, Bytes]
    weights: dict[Part, Bytes]
    activations: dict[Phase, Bytes]
    cache_tokens: Bytes
    cache_tokens_per_replica: float
    block_tokens: int
    cache_of: Callable[[int], Bytes] = lambda _: np.zeros((1, 1))
    is_chunked: bool = False

    @cached_property
    def total(self) -> Bytes:
        """All parts of each rank, shape (stages, width or 1)."""
        return sum(self.parts.values(), np.zeros((1, 1)))

    @cached_property
    def fullest(self) -> tuple[int, int]:
        """(stage, local rank) of the rank with most; the first of equals."""
        total = self.total
        stage, local = np.unravel_index(int(np.argmax(total)), total.shape)
        return int(stage), int(local)

    @property
    def fullest_rank(self) -> int:
        """Global rank, in the first replica, of the rank with most."""
        stage, local = self.fullest
        return int(self.ranks[stage][local])

    @property
    def max_bytes(self) -> float:
        """Bytes of the rank with most."""
        return float(self.total.max())

    @property
    def share(self) -> float:
        """Share of the device that the rank with most uses."""
        return self.max_bytes / self.capacity_bytes

    @property
    def max_parts(self) -> dict[MemoryPart, float]:
        """The parts of the rank with most; they sum to `max_bytes`."""
        stage, local = self.fullest
        return {part: float(held[stage, min(local, held.shape[1] - 1)]) for part, held in self.parts.items()}

    @property
    def total_bytes(self) -> float:
        """Bytes over all ranks of all replicas."""
        total = self.total
        return float(total.sum()) * (self.width / total.shape[1]) * self.replicas


def rank_memory(plan: Plan) -> tuple[PoolMemory, ...]:
    """Memory of every pool, in the order of the deployment. Raises ValueError without shapes: ask for those first."""
    shapes = plan.facts.model.shapes()
    if shapes is None:
        raise ValueError("memory needs a model with shapes")
    held = {service.phase: _held_by(plan, service) for service in plan.deployment.services}
    return tuple(
        _pool_memory(held[service.phase], shapes, service, pool)
        for service in plan.deployment.services
        for pool in service.pools
    )


def _held_by(plan: Plan, service: Service) -> Plan:
    """The plan with the sequences that a service holds at once."""
    return prefilling(plan) if service.phase is Phase.PREFILL else plan


def _pool_memory(plan: Plan, shapes: ModelShapes, service: Service, pool: Pool) -> PoolMemory:
    holding = Holding(plan, shapes, service, pool)
    device = plan.device_of(pool)
    weights = weight_bytes(holding)
    activations = {phase: activation_bytes(holding, phase) for phase in holding.phases}
    parts = {
        MemoryPart.WEIGHTS: sum(weights.values(), holding.zeros()),
        MemoryPart.KV_CACHE: cache_bytes(holding),
        MemoryPart.ACTIVATIONS: np.maximum.reduce(list(activations.values())),
        MemoryPart.COMMUNICATION: np.maximum.reduce([communication_bytes(holding, phase) for phase in holding.phases]),
        MemoryPart.RESERVE: holding.zeros() + plan.facts.cluster.reserve_bytes,
    }
    beside = sum((held for part, held in parts.items() if part is not MemoryPart.KV_CACHE), holding.zeros())
    free = device.memory_bytes - beside
    if plan.facts.workload.concurrency is not None:
        parts[MemoryPart.KV_CACHE] = _filled(holding, parts[MemoryPart.KV_CACHE], free)
    fitting = capacity_tokens(holding, free)
    return PoolMemory(
        pool=pool.name,
        device=device.name,
        capacity_bytes=device.memory_bytes,
        width=pool.width,
        replicas=plan.deployment.replicas * service.replicas,
        ranks=tuple(plan.deployment.global_ranks(service, pool, stage) for stage in range(pool.stages)),
        parts={part: holding.collapsed(held) for part, held in parts.items()},
        weights={part: holding.collapsed(held) for part, held in weights.items()},
        activations={phase: holding.collapsed(held) for phase, held in activations.items()},
        cache_tokens=holding.collapsed(fitting),
        cache_tokens_per_replica=replica_tokens(holding, fitting),
        block_tokens=holding.block,
        cache_of=partial(cache_at, holding),
        is_chunked=holding.is_chunked,
    )


def _filled(holding: Holding, cache: Bytes, free: Bytes) -> Bytes:
    """What a cache takes of the `free` bytes of each rank: a byte less than all, so that sums do not round above."""
    lone = cache / np.maximum(holding.sequences[None, :], 1.0)
    return np.minimum(cache, np.maximum(np.floor(free) - 1, lone))
