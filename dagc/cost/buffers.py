"""Activations and communication buffers of each rank in one phase: an estimate from the largest tensors of one layer.

T is the most tokens that a rank computes at once (in prefill its share of a micro-batch, at most the workload's chunk;
in decode its sequences); layers reuse the same memory, so one layer counts. Elements alive at the peak:

    attention      T · (2 hidden + queries + keys + values + result of the rank's heads); of a recurrent mixer its
                   columns and result
    dense          T · (2 hidden + inner widths / tp): the projections up and what the activation makes of them
    experts        P · (2 hidden + inner widths / tp), P the token-expert pairs of a rank under uniform routing
    head           sequences · vocab / tp in fp32, on the last stage

Communication buffers hold T · hidden for tp's reduction or the send between stages, and those of dispatch and
combine. Kernels of high throughput, in prefill, have them made to measure: what a rank sends (T · top · hidden) and
what it receives under uniform routing (P · hidden); skewed routing sends more to some ranks. Those of low latency, in
decode, have them made once, for any routing: each expert slot of the group has room for all tokens that a rank may
dispatch (T over the ranks that hold the same tokens), to send and to receive, twice because steps alternate: 4 · slots
· tokens · hidden (DeepEP's `LowLatencyLayout`). Where tokens are gathered, all tokens of the expert group and their
sums are held in either phase.

The core of attention is taken as fused (no score matrix: FlashAttention, Dao et al. 2022). Allocator slack is in the
reserve.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from dagc.catalog.attention import AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.cost.holding import Bytes, Holding
from dagc.plan.deployment import Phase
from dagc.plan.plan import gathers_tokens, has_low_latency, sums_results


def activation_bytes(holding: Holding, phase: Phase) -> Bytes:
    """Bytes of activations at the peak of a phase, shape (stages, width)."""
    shapes, layout, tokens = holding.shapes, holding.attention, holding.tokens(phase)
    moe = holding.layers(FfnKind.MOE) > 0
    routed = moe * (_pairs(holding, phase) * _inside(shapes, _expert_inner(holding)))
    if layout is None:
        return (holding.zeros() + routed) * shapes.activation_dtype.bytes
    inner = _width(shapes, shapes.dense_ffn) / layout.tp
    dense = (holding.layers(FfnKind.DENSE) > 0) * (tokens * _inside(shapes, inner))
    attention = tokens * (2 * shapes.hidden + _mixer_width(holding, layout.tp)) + holding.zeros()
    layer = np.maximum(np.maximum(attention, dense), routed) * shapes.activation_dtype.bytes
    _, last = holding.edges()
    logits = last * holding.micro_batch
    return np.maximum(layer, logits * (shapes.vocab / layout.tp * Dtype.FP32.bytes))


def communication_bytes(holding: Holding, phase: Phase) -> Bytes:
    """Bytes of communication buffers in a phase, shape (stages, width)."""
    shapes, layout = holding.shapes, holding.attention
    held = holding.zeros()
    if layout is not None and (layout.tp > 1 or holding.service.stages > 1):
        held = held + holding.tokens(phase) * shapes.hidden
    experts = holding.service.experts_pool.experts
    if shapes.experts and experts and (experts.ep > 1 or len(holding.service.pools) > 1):
        moe = holding.layers(FfnKind.MOE) > 0
        held = held + moe * _exchanged(holding, phase)
    return held * shapes.activation_dtype.bytes


def _exchanged(holding: Holding, phase: Phase) -> npt.NDArray[np.float64] | float:
    """Elements of buffers for the tokens of experts; sums of tokens that all ranks hold are tp's reduction."""
    if sums_results(holding.plan, holding.service):
        return 0.0
    if gathers_tokens(holding.plan, holding.service):
        return 2.0 * _gathered(holding, phase) * holding.shapes.hidden
    is_fixed = phase is Phase.DECODE and has_low_latency(holding.plan, holding.service)
    return _fixed(holding) if is_fixed else _measured(holding, phase)


def _gathered(holding: Holding, phase: Phase) -> float:
    """Distinct tokens of an expert group."""
    layout = holding.service.experts_pool.experts
    distinct = float(holding.tokens(phase).sum()) / _copies(holding, phase)
    return distinct / layout.dp if layout else 0.0


def _fixed(holding: Holding) -> float:
    """Elements of the buffers of dispatch and combine that fit any routing."""
    experts, options = holding.shapes.experts, holding.service.options
    slots = experts.count + options.redundant if experts else 0
    most = ceil(float(holding.tokens(Phase.DECODE).max()) / _copies(holding, Phase.DECODE))
    return 4.0 * slots * most * holding.shapes.hidden


def _measured(holding: Holding, phase: Phase) -> npt.NDArray[np.float64]:
    """Elements that each rank sends and receives under uniform routing; a pool of experts only receives."""
    experts = holding.shapes.experts
    received = np.full(1, _pairs(holding, phase))
    sent = holding.tokens(phase) * experts.top if experts and holding.attention is not None else 0.0
    return (sent + received) * holding.shapes.hidden


def _pairs(holding: Holding, phase: Phase) -> float:
    """Token-expert pairs that one rank computes: distinct tokens of the stage, `top` each, spread over ep and dp."""
    layout, experts = holding.service.experts_pool.experts, holding.shapes.experts
    if layout is None or experts is None:
        return 0.0
    distinct = float(holding.tokens(phase).sum()) / _copies(holding, phase)
    return distinct * experts.top / (layout.ep * layout.dp)


def _copies(holding: Holding, phase: Phase) -> int:
    """Ranks that hold the same tokens: all of tp, and in decode all of cp."""
    attention = holding.service.attention_pool.attention
    return attention.tp * (attention.cp if phase is Phase.DECODE else 1) if attention else 1


def _inside(shapes: ModelShapes, inner: float) -> float:
    """Elements a token inside a feed-forward block: input, result and the inner widths."""
    return 2 * shapes.hidden + inner


def _width(shapes: ModelShapes, ffn: int) -> float:
    return float(ffn * (3 if shapes.gated else 2))


def _expert_inner(holding: Holding) -> float:
    experts, layout = holding.shapes.experts, holding.experts
    return _width(holding.shapes, experts.ffn) / layout.tp if experts and layout else 0.0


def _mixer_width(holding: Holding, tp: int) -> float:
    """Elements a token of what the widest mixer works on, on one rank: queries, keys, values and result."""
    return max((_width_of(kind, tp) for kind in holding.distinct), default=0.0)


def _width_of(kind: LayerKind, tp: int) -> float:
    if kind.recurrent:
        return (kind.recurrent.columns + kind.recurrent.inner) * kind.recurrent.share(tp)
    if kind.attention is None:
        return 0.0
    part = kind.attention.shard(tp)
    heads = part.heads * (part.head_dim + part.value_dim)
    if part.kind is AttentionKind.MLA:
        return 2 * heads + part.cached + part.gate_columns
    return heads + part.cached + part.gate_columns
