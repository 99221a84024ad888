"""Memory of each rank, by part, from the shapes of the model and the meaning of the strategy.

Turns a plan into bytes by stage and local rank for each pool: weights, KV cache, activations, communication buffers
and a reserve for what is neither. All replicas of a service hold the same but for the remainder of the batch; the
figures are those of the fullest. What an engine allocates beyond need (a cache filled to 90 % of the device) is not
modelled: this is what the plan requires.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dagc.catalog.model import ModelShapes
from dagc.cost.buffers import activation_bytes, communication_bytes
from dagc.cost.cache import cache_bytes
from dagc.cost.holding import Bytes, Holding
from dagc.cost.weights import weight_bytes
from dagc.plan.deployment import Pool, Service
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan

RESERVE_BYTES = 2e9
"""CUDA context, NCCL channels, the engine's workspaces and fragmentation on each GPU: an assumption, about what
serving engines leave unaccounted beside their caches."""


class MemoryPart(StrEnum):
    """What memory is used for."""

    WEIGHTS = "weights"
    KV_CACHE = "kv_cache"
    ACTIVATIONS = "activations"
    COMMUNICATION = "communication"
    RESERVE = "reserve"


@dataclass(frozen=True, slots=True, eq=False)
class PoolMemory:
    """Bytes of each rank of one pool.

    Each part has shape (stages of the pool, width), or width 1 where the ranks of a stage are alike. `width` is the
    number of ranks a stage, `replicas` how many copies of the pool the deployment has. `ranks[stage]` are the global
    ranks of a stage, in the first replica.
    """

    pool: str
    device: str
    capacity_bytes: float
    width: int
    replicas: int
    ranks: tuple[Ranks, ...]
    parts: dict[MemoryPart, Bytes]

    @property
    def total(self) -> Bytes:
        """All parts of each rank, shape (stages, width or 1)."""
        return sum(self.parts.values(), np.zeros((1, 1)))

    @property
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
    return tuple(
        _pool_memory(plan, shapes, service, pool) for service in plan.deployment.services for pool in service.pools
    )


def _pool_memory(plan: Plan, shapes: ModelShapes, service: Service, pool: Pool) -> PoolMemory:
    holding = Holding(plan, shapes, service, pool)
    device = plan.device_of(pool)
    return PoolMemory(
        pool=pool.name,
        device=device.name,
        capacity_bytes=device.memory_bytes,
        width=pool.width,
        replicas=plan.deployment.replicas * service.replicas,
        ranks=tuple(plan.deployment.global_ranks(service, pool, stage) for stage in range(pool.stages)),
        parts={
            MemoryPart.WEIGHTS: holding.collapsed(weight_bytes(holding)),
            MemoryPart.KV_CACHE: holding.collapsed(cache_bytes(holding)),
            MemoryPart.ACTIVATIONS: holding.collapsed(activation_bytes(holding)),
            MemoryPart.COMMUNICATION: holding.collapsed(communication_bytes(holding)),
            MemoryPart.RESERVE: np.full((pool.stages, 1), RESERVE_BYTES),
        },
    )
