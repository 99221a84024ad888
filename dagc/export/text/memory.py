"""Memory by class of ranks as a table for a person: one row a class, one column a part, then what would still fit."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.text.columns import columns
from dagc.results.summary import Memory, MemoryLimitsRecord, PoolMemoryRecord, RankClass
from dagc.units import format_bytes, format_share

EXPERTS = "experts"
_COLUMNS = ("experts", "other weights", "KV cache", "activations", "communication", "reserve", "total", "share")


def holding_most(memory: Memory) -> str | None:
    """The GPU that holds most bytes, which comparisons and requirements have; None where it is the fullest one.

    The two differ where a pool's device has more memory than another's.
    """
    most = max(memory.pools, key=lambda pool: pool.per_rank_max_bytes)
    if most.per_rank_max_bytes == memory.per_rank_max_bytes:
        return None
    held = f"{format_bytes(most.per_rank_max_bytes)} of {format_bytes(most.capacity_bytes)}"
    return f"largest memory use: {held} on a GPU of {most.pool}"


def render_memory(name: str, memory: Memory) -> str:
    """The table of one strategy as lines, the last one ended."""
    return "\n".join(_lines(name, memory)) + "\n"


def _lines(name: str, memory: Memory) -> Iterator[str]:
    held = f"{format_bytes(memory.per_rank_max_bytes)} of {format_bytes(memory.capacity_bytes)}"
    yield f"{name}: {'fits' if memory.fits else 'does not fit'}, {held} on the fullest GPU"
    if memory.requests_at_once is not None:
        yield f"  {memory.requests_at_once:,} concurrent requests: limited by KV-cache capacity"
    are_many = len(memory.pools) > 1
    labels = [(f"{pool.pool}, " if are_many else "", one) for pool in memory.pools for one in pool.classes]
    rows = [("", "GPUs", *_COLUMNS), *(_row(pool, one) for pool, one in labels)]
    yield from (f"  {line}" for line in columns(rows, ">"))
    for pool in memory.pools:
        yield from _capacity(pool, are_many)
    if memory.limits:
        yield from _limits(memory.limits)


def _row(pool: str, one: RankClass) -> tuple[str, ...]:
    experts = one.weights_bytes.get(EXPERTS, 0.0)
    parts = one.parts_bytes
    sizes = (
        experts,
        parts["weights"] - experts,
        *(parts[name] for name in ("kv_cache", "activations", "communication", "reserve")),
        one.total_bytes,
    )
    label = f"{pool}ranks {one.ranks}"
    return (label, f"{one.gpus:,}", *(format_bytes(size) if size else "-" for size in sizes), format_share(one.share))


def _capacity(pool: PoolMemoryRecord, is_one_of_many: bool) -> Iterator[str]:
    if pool.kv_capacity_tokens is None:
        return
    where = f" in {pool.pool}" if is_one_of_many else ""
    each = "" if pool.kv_capacity_tokens == pool.kv_capacity_tokens_per_replica else (
        f" ({pool.kv_capacity_tokens_per_replica:,} per replica)"
    )  # fmt: skip
    blocks = f"blocks of {pool.kv_block_tokens}" if pool.kv_block_tokens > 1 else "no blocks"
    yield f"  KV-cache capacity{where}: {pool.kv_capacity_tokens:,} tokens{each}, {blocks}"


def _limits(limits: MemoryLimitsRecord) -> Iterator[str]:
    batch = "largest batch: unlimited" if limits.batch is None else f"largest batch: {limits.batch:,} sequences"
    context = "longest context: unlimited"
    if limits.context is not None:
        context = f"longest context at the given batch: {limits.context:,} tokens"
    yield f"  {batch}; {context}"
