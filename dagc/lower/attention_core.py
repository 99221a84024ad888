"""The cache and the core of attention: write, read, scores with values, and what context parallelism exchanges.

- Prefill with context parallelism gathers the prompt's keys and values (or latents) over cp before the core.
- Decode with context parallelism attends to each rank's part of the cache and merges the parts: results with their
  log-sum-exponents, all-reduced over cp.
- Decode context parallelism (`dcp`) cuts the cache over ranks of tp: queries of all heads of a group are gathered
  before, results scattered back to their heads after.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dagc.catalog.attention import Reach
from dagc.catalog.dtype import Dtype
from dagc.degrees import AxisKind
from dagc.graph.graph import Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_collective, local_subgroups
from dagc.ops.all_gather import AllGather
from dagc.ops.all_reduce import AllReduce
from dagc.ops.attention_core import AttentionCore, KeyValues
from dagc.ops.groups import Groups
from dagc.ops.kv_cache import KvRead, KvWrite
from dagc.ops.load import max_rank
from dagc.ops.reduce_scatter import ReduceScatter


@dataclass(frozen=True, slots=True)
class Core:
    """Shapes of the core on one rank: its heads, the widths of a key and of a value in elements of `dtype`."""

    key_values: KeyValues
    heads: int
    kv_heads: int
    key: int
    value: int
    dtype: Dtype


def heads_tensor(stage: Stage, batch: Batch, heads: int, width: int) -> Tensor:
    """Heads of the rank's tokens."""
    return stage.tensor({"t": max_rank(batch.tokens), "h": heads, "d": width}, split=("h", AxisKind.TP))


def cache_tensor(stage: Stage, batch: Batch, reach: Reach, kept: dict[str, int]) -> Tensor:
    """What the core reads of the rank's cache: the positions of its sequences, each of `kept` dimensions."""
    return _kept(stage, {"s": max_rank(batch.decoded.positions(reach))}, kept, stage.shapes.kv_dtype)


def add_cache_write(
    builder: TemplateBuilder,
    stage: Stage,
    batch: Batch,
    kept: dict[str, int],
    inputs: tuple[int, ...] | None = None,
) -> int:
    """Keys and values (or latents) of new tokens go to the cache, each to the ranks that keep its position."""
    keepers = stage.options.decode_context * (1 if batch.is_prefill else stage.attention.cp)
    elements = batch.tokens * prod(kept.values()) / keepers
    output = _kept(stage, {"t": max_rank(batch.tokens)}, kept, stage.shapes.kv_dtype)
    write = KvWrite(elements, stage.activation, stage.shapes.kv_dtype)
    return builder.add("attention.kv_write", write, output, inputs=inputs)


def add_context_gather(builder: TemplateBuilder, stage: Stage, batch: Batch, kept: dict[str, int]) -> None:
    """Prefill: each rank of a cp group gets keys and values of the whole prompt."""
    if not batch.is_prefill or stage.attention.cp == 1:
        return
    positions = batch.sequences * batch.prompt
    whole = _kept(stage, {"s": max_rank(positions)}, kept, stage.activation)
    members = (stage.attention, (AxisKind.CP,))
    gathered = positions * prod(kept.values())
    add_collective(builder, stage, "attention.kv_all_gather", AllGather, members, gathered, whole)


def add_read(builder: TemplateBuilder, cache: Tensor, inputs: tuple[int, ...] | None = None) -> int:
    """The cache streams into the next node's kernel: no time and no work of its own."""
    return builder.add(
        "attention.kv_read", KvRead(cache.dtype), cache, inputs=inputs, fused_into=len(builder.nodes) + 1
    )


def add_core(
    builder: TemplateBuilder,
    stage: Stage,
    batch: Batch,
    reach: Reach,
    core: Core,
    queries: int,
    cache: Tensor | None,
    written: int | None = None,
) -> int:
    """Scores, softmax and weighted values, with what goes before and after over cp and dcp.

    `cache` None: the core takes what was added last in place of a cache. `written` is the node that completed the
    cache, the last one when None.
    """
    source = builder.last if written is None else written
    shares = 1 if batch.is_prefill else stage.options.decode_context
    if shares > 1:
        queries = _add_query_gather(builder, stage, batch, core, queries)
    if cache is not None:
        source = add_read(builder, cache, (source,))
    output = heads_tensor(stage, batch, core.heads * shares, core.value)
    op = _core(stage, batch.decoded, reach, core)
    added = builder.add("attention.core", op, output, inputs=tuple(dict.fromkeys((queries, source))))
    if not batch.is_prefill and stage.attention.cp > 1:
        added = _add_merge(builder, stage, batch, core, output)
    return _add_scatter(builder, stage, batch, core) if shares > 1 else added


def add_piggybacked_core(
    builder: TemplateBuilder, stage: Stage, batch: Batch, reach: Reach, core: Core, inputs: tuple[int, ...]
) -> None:
    """In a mixed step: the core of the prompt tokens, a kernel of its own that fills up the result of the other."""
    if batch.piggybacked is None:
        return
    output = heads_tensor(stage, batch, core.heads, core.value)
    builder.add("attention.prefill_core", _core(stage, batch.piggybacked, reach, core), output, inputs=inputs)


def _core(stage: Stage, batch: Batch, reach: Reach, core: Core) -> AttentionCore:
    """With `dcp` a rank serves the heads of its whole group on its part of the context, which is as much arithmetic."""
    shares = 1 if batch.is_prefill else stage.options.decode_context
    return AttentionCore(
        tokens=batch.tokens,
        positions=batch.positions(reach),
        pairs=batch.pairs(reach),
        sequences=batch.sequences,
        heads=core.heads * shares,
        kv_heads=core.kv_heads,
        key=core.key,
        value=core.value,
        cache=core.dtype,
        key_values=core.key_values,
        activation=stage.activation,
    )


def _kept(stage: Stage, rows: dict[str, int], kept: dict[str, int], dtype: Dtype) -> Tensor:
    split = ("h", AxisKind.TP) if "h" in kept else None
    return stage.tensor({**rows, **kept}, dtype, split=split)


def _cache_groups(stage: Stage) -> Groups:
    groups = stage.attention.groups((AxisKind.TP,))
    return stage.own.groups(local_subgroups(groups, stage.options.decode_context))


def _add_query_gather(builder: TemplateBuilder, stage: Stage, batch: Batch, core: Core, queries: int) -> int:
    heads = core.heads * stage.options.decode_context
    output = heads_tensor(stage, batch, heads, core.key)
    return add_collective(
        builder, stage, "attention.q_all_gather", AllGather, (stage.attention, (AxisKind.TP,)),
        batch.tokens * heads * core.key, output, (queries,), _cache_groups(stage),
    )  # fmt: skip


def _add_scatter(builder: TemplateBuilder, stage: Stage, batch: Batch, core: Core) -> int:
    heads = core.heads * stage.options.decode_context
    output = heads_tensor(stage, batch, core.heads, core.value)
    return add_collective(
        builder, stage, "attention.dcp_reduce_scatter", ReduceScatter, (stage.attention, (AxisKind.TP,)),
        batch.tokens * heads * core.value, output, None, _cache_groups(stage),
    )  # fmt: skip


def _add_merge(builder: TemplateBuilder, stage: Stage, batch: Batch, core: Core, output: Tensor) -> int:
    heads = core.heads * stage.options.decode_context
    message = batch.tokens * heads * (core.value + 1)
    members = (stage.attention, (AxisKind.CP,))
    return add_collective(builder, stage, "attention.cp_all_reduce", AllReduce, members, message, output)
