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
from dagc.graph.graph import Groups, Load, Pattern
from dagc.graph.ops import ATTENTION_CORE, KV_READ, KV_WRITE
from dagc.graph.tensor import Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder, Work, largest
from dagc.lower.stage import Stage, add_collective, local_subgroups
from dagc.syntax.tree import AxisKind


@dataclass(frozen=True, slots=True)
class Core:
    """Shapes of the core on one rank: its heads, the widths of a key and of a value, in elements.

    `position` is what one position of the context takes, keys and values of all the rank's heads, in elements of
    `dtype`.
    """

    heads: int
    key: int
    value: int
    position: int
    dtype: Dtype


def heads_tensor(stage: Stage, batch: Batch, heads: int, width: int) -> Tensor:
    """Heads of the rank's tokens."""
    return stage.tensor({"t": largest(batch.tokens), "h": heads, "d": width}, split=("h", AxisKind.TP))


def cache_tensor(stage: Stage, batch: Batch, reach: Reach, kept: dict[str, int]) -> Tensor:
    """What the core reads of the rank's cache: the positions of its sequences, each of `kept` dimensions."""
    return _kept(stage, {"s": largest(_positions(batch, reach))}, kept, stage.shapes.kv_dtype)


def add_cache_write(builder: TemplateBuilder, stage: Stage, batch: Batch, kept: dict[str, int]) -> int:
    """Keys and values (or latents) of new tokens go to the cache, each to the ranks that keep its position."""
    keepers = stage.options.decode_context * (1 if batch.is_prefill else stage.attention.cp)
    elements = batch.tokens * prod(kept.values()) / keepers
    moved = elements * (stage.activation.bytes + stage.shapes.kv_dtype.bytes)
    output = _kept(stage, {"t": largest(batch.tokens)}, kept, stage.shapes.kv_dtype)
    return builder.add("attention.kv_write", KV_WRITE, output, Work(0 * elements, moved, stage.shapes.kv_dtype))


def add_context_gather(builder: TemplateBuilder, stage: Stage, batch: Batch, kept: dict[str, int]) -> None:
    """Prefill: each rank of a cp group gets keys and values of the whole prompt."""
    if not batch.is_prefill or stage.attention.cp == 1:
        return
    positions = batch.sequences * batch.prompt
    whole = _kept(stage, {"s": largest(positions)}, kept, stage.activation)
    members = (stage.attention, (AxisKind.CP,))
    gathered = positions * prod(kept.values())
    add_collective(builder, stage, "attention.kv_all_gather", Pattern.ALL_GATHER, members, gathered, whole)


def add_read(builder: TemplateBuilder, cache: Tensor, inputs: tuple[int, ...] | None = None) -> int:
    """The cache streams into the next node's kernel: no time and no work of its own."""
    return builder.add("attention.kv_read", KV_READ, cache, inputs=inputs, fused_into=len(builder.nodes) + 1)


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
    work = _core_work(stage, batch, reach, core)
    added = builder.add("attention.core", ATTENTION_CORE, output, work, inputs=tuple(dict.fromkeys((queries, source))))
    if not batch.is_prefill and stage.attention.cp > 1:
        added = _add_merge(builder, stage, batch, core, output)
    return _add_scatter(builder, stage, batch, core) if shares > 1 else added


def _core_work(stage: Stage, batch: Batch, reach: Reach, core: Core) -> Work:
    """2·(key + value) FLOPs for each head and pair of query and position; the context is read once.

    With `dcp` a rank serves the heads of its whole group on its part of the context, which is as much arithmetic.
    """
    shares = 1 if batch.is_prefill else stage.options.decode_context
    pairs = batch.pairs(reach)
    flops = 2.0 * core.heads * shares * (core.key + core.value) * pairs
    context = _positions(batch, reach) * core.position * core.dtype.bytes
    ends = batch.tokens * core.heads * shares * (core.key + core.value) * stage.activation.bytes
    latent = core.position == core.key
    shape = (
        ("queries", largest(batch.tokens)),
        ("context", largest(_positions(batch, reach))),
        ("heads", core.heads * shares),
        ("kv_heads", 1 if latent else max(1, round(core.position / (core.key + core.value)))),
        ("key", core.key),
        ("value", core.value),
        ("sequences", largest(batch.sequences)),
    )
    return Work(flops, context + ends, stage.activation, shape)


def _positions(batch: Batch, reach: Reach) -> Load:
    """Positions that a rank reads in the core: whole prompts, or its part of the contexts of its sequences."""
    return batch.sequences * (batch.prompt if batch.is_prefill else batch.cached(reach))


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
        builder, stage, "attention.q_all_gather", Pattern.ALL_GATHER, (stage.attention, (AxisKind.TP,)),
        batch.tokens * heads * core.key, output, (queries,), _cache_groups(stage),
    )  # fmt: skip


def _add_scatter(builder: TemplateBuilder, stage: Stage, batch: Batch, core: Core) -> int:
    heads = core.heads * stage.options.decode_context
    output = heads_tensor(stage, batch, core.heads, core.value)
    return add_collective(
        builder, stage, "attention.dcp_reduce_scatter", Pattern.REDUCE_SCATTER, (stage.attention, (AxisKind.TP,)),
        batch.tokens * heads * core.value, output, None, _cache_groups(stage),
    )  # fmt: skip


def _add_merge(builder: TemplateBuilder, stage: Stage, batch: Batch, core: Core, output: Tensor) -> int:
    heads = core.heads * stage.options.decode_context
    message = batch.tokens * heads * (core.value + 1)
    members = (stage.attention, (AxisKind.CP,))
    return add_collective(builder, stage, "attention.cp_all_reduce", Pattern.ALL_REDUCE, members, message, output)
