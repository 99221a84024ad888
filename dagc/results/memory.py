"""Memory by rank and part: what rules, requirements and claims ask of it, and its record in a summary.

The ranks of a pool that hold the same are one class: a row of a table, a bar of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dagc.diag.diagnostic import Diagnostic
from dagc.plan.layout import ranges_text
from dagc.results import summary as out

if TYPE_CHECKING:
    from dagc.cost.holding import Bytes
    from dagc.cost.limits import MemoryLimits
    from dagc.cost.memory import MemoryPart, PoolMemory
    from dagc.plan.layout import Ranks


def part_title(part: str) -> str:
    """A part of memory, `MemoryPart` by value, in a sentence."""
    return "KV cache" if part == "kv_cache" else part


@dataclass(frozen=True, slots=True)
class MemoryOfPools:
    """Memory by rank of all pools, in the order of the deployment."""

    pools: tuple[PoolMemory, ...]

    @property
    def fullest(self) -> PoolMemory:
        """The pool whose fullest rank uses the largest share of its device."""
        return max(self.pools, key=lambda pool: pool.share)

    @property
    def is_chunked(self) -> bool:
        """Whether a pool computes prompts in chunks, of which memory holds one."""
        return any(pool.is_chunked for pool in self.pools)

    @property
    def max_bytes(self) -> float:
        """Bytes of the rank that holds most."""
        return max(pool.max_bytes for pool in self.pools)

    @property
    def total_bytes(self) -> float:
        """Bytes over all GPUs."""
        return sum(pool.total_bytes for pool in self.pools)


@dataclass(frozen=True, slots=True)
class StrategyMemory:
    """The memory of one strategy, as in its summary; None where shapes are `missing`. `context` is what it holds in."""

    name: str
    memory: out.Memory | None
    missing: tuple[str, ...]
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanMemory:
    """The memory of every strategy of a plan that has a meaning, and the diagnostics of the plan."""

    diagnostics: tuple[Diagnostic, ...]
    strategies: tuple[StrategyMemory, ...]


def memory_record(memory: MemoryOfPools, limits: MemoryLimits | None, at_once: int | None) -> out.Memory:
    """All pools, the fullest in front; `limits` where they were asked for, `at_once` where not all requests run."""
    fullest = memory.fullest
    return out.Memory(
        per_rank_max_bytes=fullest.max_bytes,
        parts_bytes=_by_name(fullest.max_parts),
        capacity_bytes=fullest.capacity_bytes,
        share=fullest.share,
        fits=fullest.share <= 1,
        total_bytes=memory.total_bytes,
        requests_at_once=at_once,
        limits=out.MemoryLimitsRecord(batch=limits.batch, context=limits.context) if limits else None,
        pools=[_pool(pool) for pool in memory.pools],
    )


def _pool(pool: PoolMemory) -> out.PoolMemoryRecord:
    return out.PoolMemoryRecord(
        pool=pool.pool,
        device=pool.device,
        rank=pool.fullest_rank,
        per_rank_max_bytes=pool.max_bytes,
        parts_bytes=_by_name(pool.max_parts),
        capacity_bytes=pool.capacity_bytes,
        share=pool.share,
        total_bytes=pool.total_bytes,
        kv_block_tokens=pool.block_tokens,
        kv_capacity_tokens_per_replica=_tokens(pool.cache_tokens_per_replica),
        kv_capacity_tokens=_tokens(pool.cache_tokens_per_replica * pool.replicas),
        classes=_classes(pool),
    )


def _by_name(parts: Mapping[MemoryPart, float]) -> dict[str, float]:
    return {part.value: size for part, size in parts.items()}


def _tokens(number: float) -> int | None:
    """A number of tokens; None for what has no limit."""
    return int(number) if isfinite(number) else None


def _classes(memory: PoolMemory) -> list[out.RankClass]:
    """In the order of their first ranks."""
    columns = [*memory.parts.values(), *memory.weights.values(), *memory.activations.values(), memory.cache_tokens]
    width = max(column.shape[1] for column in columns)
    label = np.zeros((len(memory.ranks), width), dtype=np.int64)
    for column in columns:
        _, which = np.unique(column, return_inverse=True)
        _, label = np.unique(label * column.size + which.reshape(column.shape), return_inverse=True)
        label = label.reshape(len(memory.ranks), width)
    ranks = np.stack(memory.ranks).reshape(len(memory.ranks), width, -1)
    found = [_class(memory, columns, label == number, ranks) for number in range(int(label.max()) + 1)]
    return sorted(found, key=lambda one: one.first_rank)


def _class(memory: PoolMemory, columns: list[Bytes], members: npt.NDArray[np.bool_], ranks: Ranks) -> out.RankClass:
    """One class: `members` are its stages and columns, `ranks` the global ranks of each."""
    stage, local = (int(index[0]) for index in np.nonzero(members))
    sizes = iter([float(column[stage, min(local, column.shape[1] - 1)]) for column in columns])
    parts = {part.value: next(sizes) for part in memory.parts}
    weights = {part.value: next(sizes) for part in memory.weights}
    activations = {phase.value: next(sizes) for phase in memory.activations}
    total = sum(parts.values())
    held = ranks[members].reshape(-1)
    shown, is_whole = ranges_text(held)
    return out.RankClass(
        ranks=shown if is_whole else f"{shown}, …",
        first_rank=int(held.min()),
        gpus=held.size * memory.replicas,
        total_bytes=total,
        share=total / memory.capacity_bytes,
        parts_bytes=parts,
        weights_bytes=weights,
        activations_bytes=activations,
        kv_capacity_tokens=_tokens(next(sizes)),
    )
