"""Memory by rank and part becomes the figures that requirements, claims, rules and the summary speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.report.rank_classes import RankFigures, rank_classes

if TYPE_CHECKING:
    from dagc.cost.memory import PoolMemory


def part_title(part: str) -> str:
    """A part of memory, `MemoryPart` by value, in a sentence."""
    return "KV cache" if part == "kv_cache" else part


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool. `parts` are those of its fullest rank, in bytes, and sum to `max_bytes`.

    `total_bytes` is over all ranks of all `replicas`; `capacity_bytes` that of the pool's device. `cache_tokens` are
    the tokens of sequences whose cache fits into one replica, infinite where the pool keeps none; `block_tokens` are
    those of one block.
    """

    pool: str
    device: str
    max_bytes: float
    parts: tuple[tuple[str, float], ...]
    rank: int
    capacity_bytes: float
    total_bytes: float
    replicas: int
    cache_tokens: float
    block_tokens: int
    by_rank: PoolMemory

    @property
    def classes(self) -> tuple[RankFigures, ...]:
        """Ranks that hold the same, each class once."""
        return rank_classes(self.by_rank)

    def part(self, *names: str) -> float:
        """Bytes of some parts of the fullest rank, together."""
        return sum(size for name, size in self.parts if name in names)

    @property
    def share(self) -> float:
        """Share of the device that the fullest rank uses."""
        return self.max_bytes / self.capacity_bytes


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """All pools, in the order of the deployment."""

    pools: tuple[PoolFigures, ...]

    @property
    def fullest(self) -> PoolFigures:
        """The pool whose fullest rank uses the largest share of its device."""
        return max(self.pools, key=lambda pool: pool.share)

    @property
    def is_chunked(self) -> bool:
        """Whether a pool computes prompts in chunks, of which memory holds one."""
        return any(pool.by_rank.is_chunked for pool in self.pools)

    @property
    def max_bytes(self) -> float:
        """Bytes of the rank that holds most."""
        return max(pool.max_bytes for pool in self.pools)

    @property
    def total_bytes(self) -> float:
        """Bytes over all GPUs."""
        return sum(pool.total_bytes for pool in self.pools)


def memory_figures(memory: tuple[PoolMemory, ...]) -> MemoryFigures:
    """Figures of each pool, from its ranks' bytes by part."""
    return MemoryFigures(tuple(_pool(pool) for pool in memory))


def _pool(memory: PoolMemory) -> PoolFigures:
    return PoolFigures(
        pool=memory.pool,
        device=memory.device,
        max_bytes=memory.max_bytes,
        parts=tuple((part.value, size) for part, size in memory.max_parts.items()),
        rank=memory.fullest_rank,
        capacity_bytes=memory.capacity_bytes,
        total_bytes=memory.total_bytes,
        replicas=memory.replicas,
        cache_tokens=memory.cache_tokens_per_replica,
        block_tokens=memory.block_tokens,
        by_rank=memory,
    )
