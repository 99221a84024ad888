"""Figures of memory become their part of the summary."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from dagc.report import summary as out
from dagc.report.memory import MemoryFigures, PoolFigures
from dagc.report.rank_classes import RankFigures

if TYPE_CHECKING:
    from dagc.cost.limits import MemoryLimits


def memory_summary(memory: MemoryFigures, limits: MemoryLimits | None, at_once: int | None) -> out.Memory:
    """All pools, the fullest in front; `limits` where they were asked for, `at_once` where not all requests run."""
    fullest = memory.fullest
    return out.Memory(
        per_rank_max_bytes=fullest.max_bytes,
        parts_bytes=dict(fullest.parts),
        capacity_bytes=fullest.capacity_bytes,
        share=fullest.share,
        fits=fullest.share <= 1,
        total_bytes=memory.total_bytes,
        requests_at_once=at_once,
        limits=out.MemoryLimits(batch=limits.batch, context=limits.context) if limits else None,
        pools=[_pool(pool) for pool in memory.pools],
    )


def _pool(pool: PoolFigures) -> out.PoolMemory:
    return out.PoolMemory(
        pool=pool.pool,
        device=pool.device,
        rank=pool.rank,
        per_rank_max_bytes=pool.max_bytes,
        parts_bytes=dict(pool.parts),
        capacity_bytes=pool.capacity_bytes,
        share=pool.share,
        total_bytes=pool.total_bytes,
        kv_block_tokens=pool.block_tokens,
        kv_capacity_tokens_per_replica=_tokens(pool.cache_tokens),
        kv_capacity_tokens=_tokens(pool.cache_tokens * pool.replicas),
        classes=[_class(one, pool.capacity_bytes) for one in pool.classes],
    )


def _class(one: RankFigures, capacity_bytes: float) -> out.RankClass:
    return out.RankClass(
        ranks=one.ranks,
        first_rank=one.first,
        gpus=one.gpus,
        total_bytes=one.total_bytes,
        share=one.total_bytes / capacity_bytes,
        parts_bytes=dict(one.parts),
        weights_bytes=dict(one.weights),
        activations_bytes=dict(one.activations),
        kv_capacity_tokens=_tokens(one.cache_tokens),
    )


def _tokens(number: float) -> int | None:
    """A number of tokens; None for what has no limit."""
    return int(number) if isfinite(number) else None
