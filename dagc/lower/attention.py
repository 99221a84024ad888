"""Attention of one layer, keys `attention.*`: projections, cache, core, reduction.

MHA and GQA project to heads (fewer key-value heads than ranks are held more than once). MLA projects to a latent
vector that every tp rank keeps; a prompt's latents are expanded to keys and values, a decoded token is attended to in
the latent space (the absorbed form: the expansion is applied to the query and to the result instead). Where an
indexer chooses positions of latents, prompts too are attended to in the latent space. Shared attention (DeepSeek-V4)
keeps one vector a position that is key and value of all heads, and entries that are each of several positions.

Between projection and core lie kernels of their own: norms of queries and keys or of latents, and rotary embedding of
heads. A norm over all heads needs the sum of squares of those on other ranks: two numbers a token, all-reduced (as
vLLM's `MiniMaxText01RMSNormTP` does). Rotary embedding of latents is a part of the kernels of their core, with whose
measurements it was timed. Biases and sinks are not counted. `indexer` has what chooses positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dagc.catalog.attention import Attention, AttentionKind, Reach
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import LayerKind
from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.graph import Tensor
from dagc.lower.attention_core import (
    Core,
    add_cache_write,
    add_context_gather,
    add_core,
    add_piggybacked_core,
    add_read,
    cache_tensor,
    heads_tensor,
)
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_collective, add_gather, add_gemm, add_norm, add_reduction
from dagc.ops.all_reduce import AllReduce
from dagc.ops.attention_core import KeyValues
from dagc.ops.elementwise import Activation, HeadNorm, Rotary
from dagc.ops.gemm import Gemm
from dagc.ops.load import max_rank


@dataclass(frozen=True, slots=True)
class _Form:
    """The attention of the layer: `whole` as the model has it, `part` of one rank."""

    whole: Attention
    part: Attention
    reach: Reach


def add_attention(builder: TemplateBuilder, stage: Stage, batch: Batch, kind: LayerKind) -> None:
    """The attention block of a layer that has one, from its norm to the reduction of its output."""
    if kind.attention is None:
        raise ValueError("a layer without attention")
    form = _Form(kind.attention, kind.attention.shard(stage.attention.tp), kind.reach)
    add_norm(builder, stage, "attention.norm", Part.ATTENTION, batch.tokens / stage.sequence_shards)
    add_gather(builder, stage, "attention.all_gather", batch.tokens)
    source = builder.last
    value = _BLOCKS[kind.attention.kind](builder, stage, batch, form)
    inputs = (builder.last, *_add_gate(builder, stage, batch, form, source))
    if form.part.gate_columns:
        gated = Activation(Part.ATTENTION, batch.tokens, value, stage.activation, 2)
        inputs = (builder.add("attention.gating", gated, _values(stage, batch, value), inputs=inputs),)
    out = stage.matrix(stage.shapes.hidden, value, Part.ATTENTION)
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    add_gemm(builder, stage, "attention.out", batch.tokens, out, stage.hidden(batch.tokens, partial), inputs)
    add_reduction(builder, stage, "attention", batch.tokens)


def _values(stage: Stage, batch: Batch, width: int) -> Tensor:
    """The heads' values of the rank, which the output projection takes."""
    return stage.tensor({"t": max_rank(batch.tokens), "f": width}, split=("f", AxisKind.TP))


def _add_gate(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form, source: int) -> tuple[int, ...]:
    """What the result of MLA is multiplied by, from the layer's input (Kimi-K3); others have it beside queries."""
    columns = form.part.gate_columns
    if form.whole.kind is not AttentionKind.MLA or not columns:
        return ()
    matrix = stage.matrix(columns, stage.shapes.hidden, Part.ATTENTION)
    output = stage.tensor({"t": max_rank(batch.tokens), "f": columns}, split=("f", AxisKind.TP))
    return (add_gemm(builder, stage, "attention.gate", batch.tokens, matrix, output, (source,), (builder.last,)),)


def _heads(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form) -> int:
    """MHA and GQA up to the core; the width of its result on one rank."""
    part, source = form.part, builder.last
    _add_projection(builder, stage, batch, part)
    queries = _add_positions(builder, stage, batch, part)
    _add_indexer(builder, stage, batch, part, (source, source))
    core = Core(KeyValues.HEADS, part.heads, part.kv_heads, part.head_dim, part.value_dim, stage.shapes.kv_dtype)
    cache = None
    if not part.reads_other:
        kept = {"h": part.kv_heads, "d": part.head_dim + part.value_dim}
        add_cache_write(builder, stage, batch, kept, (queries,))
        add_context_gather(builder, stage, batch, kept)
        cache = cache_tensor(stage, batch, form.reach, kept)
    filled = add_core(builder, stage, batch, form.reach, core, queries, cache)
    add_piggybacked_core(builder, stage, batch, form.reach, core, (filled, queries))
    return part.heads * part.value_dim


def _add_positions(builder: TemplateBuilder, stage: Stage, batch: Batch, part: Attention) -> int:
    """Queries and keys with their norm and their positions, in place; the index of the last of these."""
    heads = part.heads + (0 if part.reads_other else part.kv_heads)
    output, width = heads_tensor(stage, batch, heads, part.head_dim), heads * part.head_dim
    if part.qk_norm_whole and stage.attention.tp > 1:
        sums = stage.tensor({"t": max_rank(batch.tokens), "c": 2}, Dtype.FP32)
        members = (stage.attention, (AxisKind.TP,))
        add_collective(builder, stage, "attention.qk_norm_all_reduce", AllReduce, members, batch.tokens * 2, sums)
    if part.qk_norm or part.qk_norm_whole:
        norm = HeadNorm(Part.ATTENTION, batch.tokens, width, stage.activation)
        builder.add("attention.qk_norm", norm, output)
    return builder.add("attention.rotary", Rotary(Part.ATTENTION, batch.tokens, width, stage.activation), output)


def _add_projection(builder: TemplateBuilder, stage: Stage, batch: Batch, part: Attention) -> int:
    """Queries, keys, values and gates of the rank's heads, in one product."""
    keys = 0 if part.reads_other else part.kv_heads * part.head_dim
    values = 0 if part.reads_other or part.key_is_value else part.kv_heads * part.value_dim
    width = part.heads * part.head_dim + keys + values + part.gate_columns
    qkv = stage.matrix(width, stage.shapes.hidden, Part.ATTENTION)
    if width % part.head_dim:
        output = stage.tensor({"t": max_rank(batch.tokens), "f": width}, split=("f", AxisKind.TP))
    else:
        output = heads_tensor(stage, batch, width // part.head_dim, part.head_dim)
    return add_gemm(builder, stage, "attention.qkv", batch.tokens, qkv, output)


def _latent(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form) -> int:
    """MLA up to the heads' values; their width on one rank."""
    whole = form.whole
    source = builder.last
    lowered, queries = _add_queries(builder, stage, batch, form, whole.cached)
    _add_indexer(builder, stage, batch, whole, (source, lowered))
    _add_down(builder, stage, batch, whole.cached, source, lowered)
    attend = _expanded if batch.is_prefill and whole.indexer is None else _absorbed
    attend(builder, stage, batch, form, queries)
    if batch.piggybacked and whole.indexer is None:
        _expand_piggybacked(builder, stage, batch, form, queries)
    return form.part.heads * whole.v_head


def _shared(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form) -> int:
    """Shared attention up to the latents of the groups' results; their width on one rank."""
    part, source = form.part, builder.last
    lowered, queries = _add_queries(builder, stage, batch, form, part.head_dim)
    _add_indexer(builder, stage, batch, form.whole, (source, lowered))
    written = _add_down(builder, stage, batch, part.head_dim, source, lowered)
    if part.ratio:
        series = 2 * (2 if part.indexer else 1) * part.head_dim
        raw = stage.tensor({"t": max_rank(batch.tokens), "c": series})
        matrix = stage.matrix(series, stage.shapes.hidden, Part.ATTENTION)
        add_gemm(builder, stage, "attention.compress", batch.tokens, matrix, raw, (source,))
    add_context_gather(builder, stage, batch, {"c": part.head_dim})
    core = Core(KeyValues.LATENT, part.heads, 1, part.head_dim, part.head_dim, stage.shapes.kv_dtype)
    cache = cache_tensor(stage, batch, form.reach, {"c": part.head_dim})
    filled = add_core(builder, stage, batch, form.reach, core, queries, cache, written)
    add_piggybacked_core(builder, stage, batch, form.reach, core, (filled, queries))
    group = -(-form.whole.heads // form.whole.o_groups) * part.head_dim
    matrix = stage.matrix(part.o_lora, group, Part.ATTENTION)
    latents = stage.tensor({"t": max_rank(batch.tokens), "c": part.o_groups * part.o_lora})
    builder.add("attention.out_down", Gemm(batch.tokens, matrix, stage.activation, part.o_groups), latents)
    return part.o_groups * part.o_lora


def _add_down(builder: TemplateBuilder, stage: Stage, batch: Batch, width: int, source: int, fused: int) -> int:
    """The vector that the cache keeps, which `fused` has where latents are fused, and its write; the index of that."""
    if fused != source and stage.fuses_latents:
        return add_cache_write(builder, stage, batch, {"c": width}, (fused,))
    down = stage.matrix(width, stage.shapes.hidden, Part.ATTENTION)
    lowered = stage.tensor({"t": max_rank(batch.tokens), "c": width})
    add_gemm(builder, stage, "attention.kv_down", batch.tokens, down, lowered, (source,))
    return add_cache_write(builder, stage, batch, {"c": width})


def _add_queries(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form, cached: int) -> tuple[int, int]:
    """Queries of MLA and shared attention; the nodes of their latent (of their input where they have none) and them.

    Where latents are fused, the product has the `cached` vector too.
    """
    part, lowered = form.part, builder.last
    if part.q_lora:
        width = part.q_lora + cached * stage.fuses_latents
        down = stage.matrix(width, stage.shapes.hidden, Part.ATTENTION)
        latent = stage.tensor({"t": max_rank(batch.tokens), "c": width})
        key = "attention.qkv_down" if stage.fuses_latents else "attention.q_down"
        add_gemm(builder, stage, key, batch.tokens, down, latent)
        norm = HeadNorm(Part.ATTENTION, batch.tokens, width, stage.activation)
        lowered = builder.add("attention.latent_norm", norm, latent)
    up = stage.matrix(part.heads * part.head_dim, part.q_lora or stage.shapes.hidden, Part.ATTENTION)
    output = heads_tensor(stage, batch, part.heads, part.head_dim)
    return lowered, add_gemm(builder, stage, "attention.q_up", batch.tokens, up, output, (lowered,))


def _expanded(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form, queries: int) -> None:
    """Prefill: latents of the whole prompt are expanded to keys and values of the rank's heads."""
    part = form.part
    latent = {"c": part.cached}
    add_context_gather(builder, stage, batch, latent)
    add_read(builder, cache_tensor(stage, batch, form.reach, latent))
    positions = batch.sequences * batch.prompt
    width = part.qk_nope + part.v_head
    up = stage.matrix(part.heads * width, part.kv_lora, Part.ATTENTION)
    whole = stage.tensor({"s": max_rank(positions), "h": part.heads, "d": width}, split=("h", AxisKind.TP))
    add_gemm(builder, stage, "attention.kv_up", positions, up, whole)
    core = Core(KeyValues.EXPANDED, part.heads, part.heads, part.head_dim, part.v_head, stage.activation)
    add_core(builder, stage, batch, form.reach, core, queries, None)


def _expand_piggybacked(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form, queries: int) -> None:
    """In a mixed step prompt tokens are attended to as in prefill, after the decoded ones in the latent space."""
    part, filled, piggybacked = form.part, builder.last, batch.piggybacked or batch
    positions, width = piggybacked.positions(form.reach), part.qk_nope + part.v_head
    up = stage.matrix(part.heads * width, part.kv_lora, Part.ATTENTION)
    whole = stage.tensor({"s": max_rank(positions), "h": part.heads, "d": width}, split=("h", AxisKind.TP))
    source = add_gemm(builder, stage, "attention.prefill_kv_up", positions, up, whole, (queries,), (filled,))
    core = Core(KeyValues.EXPANDED, part.heads, part.heads, part.head_dim, part.v_head, stage.activation)
    add_piggybacked_core(builder, stage, batch, form.reach, core, (filled, queries, source))


def _absorbed(builder: TemplateBuilder, stage: Stage, batch: Batch, form: _Form, queries: int) -> None:
    """Decode: queries go into the latent space, and the result comes out of it. Riders do where an indexer chooses."""
    part, latent, indexed = form.part, form.part.cached, form.whole.indexer is not None
    rows = batch.tokens if indexed else batch.decoded.tokens
    written = builder.last
    into = stage.matrix(part.kv_lora, part.qk_nope, Part.ATTENTION)
    absorbed = builder.add(
        "attention.q_absorb",
        Gemm(rows, into, stage.activation, part.heads),
        heads_tensor(stage, batch, part.heads, latent),
        inputs=(queries,),
        after=(written,),
    )
    add_context_gather(builder, stage, batch, {"c": latent})
    cache = cache_tensor(stage, batch, form.reach, {"c": latent})
    core = Core(KeyValues.LATENT, part.heads, 1, latent, part.kv_lora, stage.shapes.kv_dtype)
    filled = add_core(builder, stage, batch, form.reach, core, absorbed, cache, written)
    if indexed:
        add_piggybacked_core(builder, stage, batch, form.reach, core, (filled, absorbed))
    out_of = stage.matrix(part.v_head, part.kv_lora, Part.ATTENTION)
    values = heads_tensor(stage, batch, part.heads, part.v_head)
    builder.add("attention.v_up", Gemm(rows, out_of, stage.activation, part.heads), values)


_BLOCKS: Mapping[AttentionKind, Callable[[TemplateBuilder, Stage, Batch, _Form], int]] = {
    AttentionKind.MHA: _heads,
    AttentionKind.GQA: _heads,
    AttentionKind.MLA: _latent,
    AttentionKind.SHARED: _shared,
}
"""How each kind of attention is built up to its output projection; each gives the width of what that takes."""


def _add_indexer(builder: TemplateBuilder, stage: Stage, batch: Batch, form: Attention, ends: tuple[int, int]) -> None:
    """The indexer of a layer that has one of its own. `ends`: the layer's input, the queries' latent."""
    if form.own_indexer is not None:
        from dagc.lower.indexer import add_indexer

        add_indexer(builder, stage, batch, form, form.own_indexer, ends)
