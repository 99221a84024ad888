"""Weights that each rank holds.

Attention is cut by heads over its tp; a rank keeps at least one KV head, so KV heads are held more than once when tp
exceeds them. MLA's down-projections to the latents stand before the heads and are whole on every rank. Dense
feed-forward and shared experts are cut over attention's tp (shared experts are whole with `[shared replicated]`);
router and norms are whole. An expert rank holds the slots of its ep index, the remainder one each on the first, each
cut over the experts' tp. The embedding is on the first stage, the head on the last, both cut by vocabulary; a tied
matrix is on both where these differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dagc.catalog.model import Attention, AttentionKind, FfnKind, ModelShapes
from dagc.catalog.parameters import Part, attention_parameters, count, expert_parameters, part_dtype
from dagc.cost.holding import Bytes, Holding
from dagc.plan.splits import experts_per_rank


def weight_bytes(holding: Holding) -> Bytes:
    """Bytes of weights, shape (stages, width)."""
    return holding.zeros() + _attention_side(holding) + _routed_experts(holding)


def attention_share(attention: Attention, hidden: int, tp: int) -> int:
    """Parameters of one attention layer on one of tp ranks, its norms left out.

    The model's layer with this rank's heads (the largest share where heads do not divide). The down-projections of
    MLA and the output's bias do not depend on heads and so stay whole.
    """
    heads = -(-attention.heads // tp)
    kv_heads = heads if attention.kind is AttentionKind.MLA else -(-attention.kv_heads // tp)
    return attention_parameters(replace(attention, heads=heads, kv_heads=kv_heads), hidden)


def _attention_side(holding: Holding) -> Bytes:
    """All but the routed experts, as a column by stage."""
    shapes, layout = holding.shapes, holding.attention
    if layout is None:
        return np.zeros((holding.pool.stages, 1))
    tp = layout.tp
    moe, dense, layers = holding.layers(FfnKind.MOE), holding.layers(FfnKind.DENSE), holding.layers()
    of_model = count(shapes).by_part
    totals = [sum(kind.ffn is ffn for kind in shapes.layer_kinds()) for ffn in (FfnKind.MOE, FfnKind.DENSE)]
    shared_tp = 1 if holding.service.options.shared_replicated else tp
    held = layers * _bytes(shapes, Part.ATTENTION, attention_share(shapes.attention, shapes.hidden, tp))
    held = held + dense * _bytes(shapes, Part.DENSE_FFN, of_model[Part.DENSE_FFN] / max(1, totals[1]) / tp)
    shared = of_model[Part.SHARED_EXPERTS] / max(1, totals[0]) / shared_tp
    held = held + moe * _bytes(shapes, Part.SHARED_EXPERTS, shared)
    held = held + moe * _bytes(shapes, Part.ROUTER, of_model[Part.ROUTER] / max(1, totals[0]))
    return held + _norms(holding, of_model[Part.NORMS]) + _vocabulary(holding, tp)


def _norms(holding: Holding, total: int) -> Bytes:
    """Norms of each stage's layers, and the final one on the last stage."""
    shapes = holding.shapes
    final = shapes.hidden
    _, last = holding.edges()
    return _bytes(shapes, Part.NORMS, 1) * (holding.layers() * (total - final) / shapes.layers + last * final)


def _vocabulary(holding: Holding, tp: int) -> Bytes:
    """Embedding on the first stage, head on the last; one matrix where they are tied and meet."""
    shapes = holding.shapes
    first, last = holding.edges()
    matrix = shapes.vocab * shapes.hidden / tp
    head = 0.0 if shapes.tied and holding.pool.stages == 1 else matrix
    return first * _bytes(shapes, Part.EMBEDDING, matrix) + last * _bytes(shapes, Part.HEAD, head)


def _routed_experts(holding: Holding) -> Bytes:
    shapes, layout = holding.shapes, holding.experts
    if layout is None or shapes.experts is None:
        return holding.zeros()
    held = experts_per_rank(layout, shapes.experts.count, holding.service.options.redundant)
    one = _bytes(shapes, Part.EXPERTS, expert_parameters(shapes) / layout.tp)
    return holding.layers(FfnKind.MOE) * held[None, :] * one


def _bytes(shapes: ModelShapes, part: Part, parameters: float) -> float:
    return parameters * part_dtype(shapes, part).bytes
