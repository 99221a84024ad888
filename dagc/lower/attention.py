"""Attention of one layer, keys `attention.*`: projections, cache, core, reduction.

MHA and GQA project to heads (fewer key-value heads than ranks are held more than once). MLA projects to a latent
vector that every tp rank keeps; a prompt's latents are expanded to keys and values, a decoded token is attended to in
the latent space (the absorbed form: the expansion is applied to the query and to the result instead). Rotary
embedding is part of the cache write. Biases, sinks and norms of single heads are not counted.
"""

from __future__ import annotations

from dagc.catalog.model import AttentionKind
from dagc.graph.graph import Load
from dagc.graph.ops import GEMM
from dagc.lower.attention_core import (
    Core,
    add_cache_write,
    add_context_gather,
    add_core,
    add_read,
    cache_tensor,
    heads_tensor,
)
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder, Work, largest
from dagc.lower.stage import Matrix, Stage, add_gather, add_gemm, add_norm, add_reduction, shard
from dagc.syntax.tree import AxisKind


def add_attention(builder: TemplateBuilder, stage: Stage, batch: Batch, window: int | None) -> None:
    """The attention block, from its norm to the reduction of its output."""
    add_norm(builder, stage, "attention.norm", batch.tokens / stage.sequence_shards)
    add_gather(builder, stage, "attention.all_gather", batch.tokens)
    if stage.shapes.attention.kind is AttentionKind.MLA:
        value = _latent(builder, stage, batch, window)
    else:
        value = _heads(builder, stage, batch, window)
    out = Matrix(stage.shapes.hidden, value, stage.shapes.weight_dtype)
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    add_gemm(builder, stage, "attention.out", batch.tokens, out, stage.hidden(batch.tokens, partial))
    add_reduction(builder, stage, "attention", batch.tokens)


def _heads(builder: TemplateBuilder, stage: Stage, batch: Batch, window: int | None) -> int:
    """MHA and GQA up to the core; the width of its result on one rank."""
    form, tp = stage.shapes.attention, stage.attention.tp
    heads, kv_heads = shard(form.heads, tp), shard(form.kv_heads, tp)
    columns = heads + 2 * kv_heads
    qkv = Matrix(columns * form.head_dim, stage.shapes.hidden, stage.shapes.weight_dtype)
    output = heads_tensor(stage, batch, columns, form.head_dim)
    queries = add_gemm(builder, stage, "attention.qkv", batch.tokens, qkv, output)
    kept = {"h": kv_heads, "d": 2 * form.head_dim}
    width = 2 * kv_heads * form.head_dim
    add_cache_write(builder, stage, batch, kept)
    add_context_gather(builder, stage, batch, kept)
    core = Core(heads, form.head_dim, form.head_dim, width, stage.shapes.kv_dtype)
    cache = cache_tensor(stage, batch, window, kept)
    add_core(builder, stage, batch, window, core, queries, cache)
    return heads * form.head_dim


def _latent(builder: TemplateBuilder, stage: Stage, batch: Batch, window: int | None) -> int:
    """MLA up to the heads' values; their width on one rank."""
    form, shapes = stage.shapes.attention, stage.shapes
    heads = shard(form.heads, stage.attention.tp)
    source = builder.last
    queries = _add_queries(builder, stage, batch, heads)
    latent = form.kv_lora + form.qk_rope
    down = Matrix(latent, shapes.hidden, shapes.weight_dtype)
    lowered = stage.tensor({"t": largest(batch.tokens), "c": latent})
    add_gemm(builder, stage, "attention.kv_down", batch.tokens, down, lowered, (source,))
    add_cache_write(builder, stage, batch, {"c": latent})
    attend = _expanded if batch.is_prefill else _absorbed
    attend(builder, stage, batch, window, queries)
    return heads * form.v_head


def _add_queries(builder: TemplateBuilder, stage: Stage, batch: Batch, heads: int) -> int:
    """MLA's queries, through their own latent where the model has one."""
    form, shapes = stage.shapes.attention, stage.shapes
    if form.q_lora:
        down = Matrix(form.q_lora, shapes.hidden, shapes.weight_dtype)
        lowered = stage.tensor({"t": largest(batch.tokens), "c": form.q_lora})
        add_gemm(builder, stage, "attention.q_down", batch.tokens, down, lowered)
    key = form.qk_nope + form.qk_rope
    up = Matrix(heads * key, form.q_lora or shapes.hidden, shapes.weight_dtype)
    return add_gemm(builder, stage, "attention.q_up", batch.tokens, up, heads_tensor(stage, batch, heads, key))


def _expanded(builder: TemplateBuilder, stage: Stage, batch: Batch, window: int | None, queries: int) -> None:
    """Prefill: latents of the whole prompt are expanded to keys and values of the rank's heads."""
    form = stage.shapes.attention
    heads = shard(form.heads, stage.attention.tp)
    latent = {"c": form.kv_lora + form.qk_rope}
    add_context_gather(builder, stage, batch, latent)
    add_read(builder, cache_tensor(stage, batch, window, latent))
    positions = batch.sequences * batch.prompt
    width = form.qk_nope + form.v_head
    up = Matrix(heads * width, form.kv_lora, stage.shapes.weight_dtype)
    whole = stage.tensor({"s": largest(positions), "h": heads, "d": width}, split=("h", AxisKind.TP))
    add_gemm(builder, stage, "attention.kv_up", positions, up, whole)
    core = Core(heads, form.qk_nope + form.qk_rope, form.v_head, heads * (width + form.qk_rope), stage.activation)
    add_core(builder, stage, batch, window, core, queries, None)


def _absorbed(builder: TemplateBuilder, stage: Stage, batch: Batch, window: int | None, queries: int) -> None:
    """Decode: queries go into the latent space, and the result comes out of it."""
    form = stage.shapes.attention
    heads = shard(form.heads, stage.attention.tp)
    latent = form.kv_lora + form.qk_rope
    written = builder.last
    absorbed = builder.add(
        "attention.q_absorb", GEMM, heads_tensor(stage, batch, heads, latent),
        _per_head(stage, batch.tokens, heads, Matrix(form.kv_lora, form.qk_nope, stage.shapes.weight_dtype)),
        inputs=(queries,), after=(written,),
    )  # fmt: skip
    cache = cache_tensor(stage, batch, window, {"c": latent})
    core = Core(heads, latent, form.kv_lora, latent, stage.shapes.kv_dtype)
    add_core(builder, stage, batch, window, core, absorbed, cache, written)
    work = _per_head(stage, batch.tokens, heads, Matrix(form.v_head, form.kv_lora, stage.shapes.weight_dtype))
    builder.add("attention.v_up", GEMM, heads_tensor(stage, batch, heads, form.v_head), work)


def _per_head(stage: Stage, tokens: Load, heads: int, matrix: Matrix) -> Work:
    """A product with a matrix of its own for each head."""
    flops = 2.0 * tokens * heads * matrix.n * matrix.k
    weights = heads * matrix.n * matrix.k * matrix.dtype.bytes
    moved = weights + tokens * heads * (matrix.n + matrix.k) * stage.activation.bytes
    shape = (("m", largest(tokens)), ("n", matrix.n), ("k", matrix.k), ("heads", heads))
    return Work(flops, moved, matrix.dtype, shape)
