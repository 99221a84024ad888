"""Activations and communication buffers of each rank: an estimate from the largest tensors of one layer.

T is the most tokens that a rank computes at once (its share of a micro-batch, at most the workload's chunk); layers
reuse the same memory, so one layer counts. Elements alive at the peak:

    attention      T · (2 hidden + queries + keys + values + result of the rank's heads); of a recurrent mixer its
                   columns and result
    dense          T · (2 hidden + inner widths / tp)
    experts        P · (2 hidden + inner widths / tp), P the token-expert pairs of a rank under uniform routing
    head           sequences · vocab / tp in fp32, on the last stage
    communication  T · hidden for tp's reduction or the hand-over between stages; dispatch and combine hold what a
                   rank sends (T · top · hidden) and what it receives (P · hidden)

The core of attention is taken as fused (no score matrix: FlashAttention, Dao et al. 2022). Allocator slack is in the
reserve.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dagc.catalog.attention import AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.cost.holding import Bytes, Holding
from dagc.plan.deployment import Phase


def activation_bytes(holding: Holding) -> Bytes:
    """Bytes of activations at the peak, shape (stages, width)."""
    shapes, layout, tokens = holding.shapes, holding.attention, holding.tokens()
    moe = holding.layers(FfnKind.MOE) > 0
    routed = moe * (_pairs(holding, tokens) * _inside(shapes, _expert_inner(holding)))
    if layout is None:
        return (holding.zeros() + routed) * shapes.activation_dtype.bytes
    inner = _width(shapes, shapes.dense_ffn) / layout.tp
    dense = (holding.layers(FfnKind.DENSE) > 0) * (tokens * _inside(shapes, inner))
    attention = tokens * (2 * shapes.hidden + _mixer_width(shapes, layout.tp)) + holding.zeros()
    layer = np.maximum(np.maximum(attention, dense), routed) * shapes.activation_dtype.bytes
    _, last = holding.edges()
    logits = last * holding.micro_batch()
    return np.maximum(layer, logits * (shapes.vocab / layout.tp * Dtype.FP32.bytes))


def communication_bytes(holding: Holding) -> Bytes:
    """Bytes of communication buffers, shape (stages, width)."""
    shapes, tokens = holding.shapes, holding.tokens()
    experts, layout = holding.service.experts_pool.experts, holding.attention
    held = holding.zeros()
    if layout is not None and (layout.tp > 1 or holding.service.stages > 1):
        held = held + tokens * shapes.hidden
    if shapes.experts and experts and (experts.ep > 1 or len(holding.service.pools) > 1):
        sent = tokens * shapes.experts.top * shapes.hidden if layout is not None else 0.0
        moe = holding.layers(FfnKind.MOE) > 0
        held = held + moe * (sent + _pairs(holding, tokens) * shapes.hidden)
    return held * shapes.activation_dtype.bytes


def _pairs(holding: Holding, tokens: npt.NDArray[np.float64]) -> float:
    """Token-expert pairs that one rank computes: distinct tokens of the stage, `top` each, spread over ep and dp."""
    layout, experts, attention = holding.experts, holding.shapes.experts, holding.service.attention_pool.attention
    if layout is None or experts is None or attention is None:
        return 0.0
    copies = attention.tp * (attention.cp if holding.service.phase is Phase.DECODE else 1)
    return float(tokens.sum()) / copies * experts.top / (layout.ep * layout.dp)


def _inside(shapes: ModelShapes, inner: float) -> float:
    """Elements a token inside a feed-forward block: input, result and the inner widths."""
    return 2 * shapes.hidden + inner


def _width(shapes: ModelShapes, ffn: int) -> float:
    return float(ffn * (2 if shapes.gated else 1))


def _expert_inner(holding: Holding) -> float:
    experts, layout = holding.shapes.experts, holding.experts
    return _width(holding.shapes, experts.ffn) / layout.tp if experts and layout else 0.0


def _mixer_width(shapes: ModelShapes, tp: int) -> float:
    """Elements a token of what the widest mixer works on, on one rank: queries, keys, values and result."""
    return max((_width_of(kind, tp) for kind in set(shapes.layer_kinds())), default=0.0)


def _width_of(kind: LayerKind, tp: int) -> float:
    if kind.recurrent:
        return (kind.recurrent.columns + kind.recurrent.inner) * kind.recurrent.share(tp)
    if kind.attention is None:
        return 0.0
    part = kind.attention.shard(tp)
    heads = part.heads * (part.head_dim + part.value_dim)
    if part.kind is AttentionKind.MLA:
        return 2 * heads + part.cached
    return heads + part.cached + part.gate_columns
