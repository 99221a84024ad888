"""Counts the parameters of a model from its shapes, part by part; and the bytes that its KV cache takes.

Assumes the usual decoder: an embedding, layers of norm, attention, norm and feed-forward, a norm, a head. Rotary
positions have no parameters. Left out are multi-token-prediction layers and vision towers, which the published totals
of some models include. A bias of the router is counted where the model has one, though a router may use it only to
choose (`e_score_correction_bias` of DeepSeek-V3).

Bytes: matrices of attention, dense feed-forward and shared experts are stored in the weight type, routed experts in
the expert type; embedding, router, norms and head stay in the activation type, which is how quantised checkpoints are
published. Scales of fp8 blocks (one fp32 for 128 × 128 elements, 0.02 %) are left out; those of mxfp4 are in its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Attention, AttentionKind, Experts, FfnKind, ModelShapes


class Part(StrEnum):
    """A part of a model, in the order in which a token meets it."""

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    DENSE_FFN = "dense_ffn"
    ROUTER = "router"
    EXPERTS = "experts"
    SHARED_EXPERTS = "shared_experts"
    NORMS = "norms"
    HEAD = "head"


class ActiveDefinition(StrEnum):
    """What "active parameters" leaves out; model cards do not agree.

    DeepSeek and gpt-oss publish theirs without the input embedding, GLM and MiniMax without both embeddings.
    """

    ALL = "all"
    WITHOUT_INPUT_EMBEDDING = "without_input_embedding"
    WITHOUT_EMBEDDINGS = "without_embeddings"


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Parameters and weight bytes of a model.

    `active` counts what one token uses: of each MoE layer the chosen experts, the shared ones and the router, and
    everything else whole, under each definition. With tied embeddings the one matrix is counted once, as embedding,
    and is left out only when both embeddings are, because as the head it is used.
    """

    by_part: Mapping[Part, int]
    active: Mapping[ActiveDefinition, int]
    weight_bytes_by_part: Mapping[Part, float]

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.by_part.values())

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights."""
        return sum(self.weight_bytes_by_part.values())


def count(shapes: ModelShapes) -> ParameterCount:
    """Parameters by part, active parameters, and bytes, of one copy of the model."""
    moe = sum(kind.ffn is FfnKind.MOE for kind in shapes.layer_kinds())
    matrix = shapes.vocab * shapes.hidden
    experts = shapes.experts
    by_part = {
        Part.EMBEDDING: matrix,
        Part.ATTENTION: shapes.layers * attention_parameters(shapes.attention, shapes.hidden),
        Part.DENSE_FFN: (shapes.layers - moe) * ffn_parameters(shapes.hidden, shapes.dense_ffn, shapes.gated),
        Part.ROUTER: moe * _router(experts, shapes.hidden) if experts else 0,
        Part.EXPERTS: moe * experts.count * expert_parameters(shapes) if experts else 0,
        Part.SHARED_EXPERTS: moe * _shared(experts, shapes) if experts else 0,
        Part.NORMS: _norms(shapes),
        Part.HEAD: 0 if shapes.tied else matrix,
    }
    idle = moe * (experts.count - experts.top) * expert_parameters(shapes) if experts else 0
    stored = {part: number * part_dtype(shapes, part).bytes for part, number in by_part.items()}
    return ParameterCount(by_part, _active(sum(by_part.values()) - idle, matrix, shapes.tied), stored)


def part_dtype(shapes: ModelShapes, part: Part) -> Dtype:
    """The type in which the weights of a part are stored."""
    match part:
        case Part.ATTENTION | Part.DENSE_FFN | Part.SHARED_EXPERTS:
            return shapes.weight_dtype
        case Part.EXPERTS:
            return shapes.expert_dtype
        case Part.EMBEDDING | Part.ROUTER | Part.NORMS | Part.HEAD:
            return shapes.activation_dtype


def attention_parameters(attention: Attention, hidden: int) -> int:
    """Projections, biases and sinks of one attention layer; its norms are counted among the norms."""
    if attention.kind is AttentionKind.MLA:
        return _latent_attention(attention, hidden)
    queries, keys = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    projections = hidden * (queries + 2 * keys) + queries * hidden
    biases = (queries + 2 * keys if attention.qkv_bias else 0) + (hidden if attention.out_bias else 0)
    return projections + biases + (attention.heads if attention.sinks else 0)


def ffn_parameters(hidden: int, inner: int, gated: bool, bias: bool = False) -> int:
    """A feed-forward block: up and down projection, and the gate's where it has one; a bias for each."""
    ups = 2 if gated else 1
    return (ups + 1) * hidden * inner + (ups * inner + hidden if bias else 0)


def expert_parameters(shapes: ModelShapes) -> int:
    """One routed expert of one layer; 0 for a dense model."""
    experts = shapes.experts
    return ffn_parameters(shapes.hidden, experts.ffn, shapes.gated, experts.bias) if experts else 0


def kv_bytes_per_token(shapes: ModelShapes) -> float:
    """Bytes of cache that one token of one sequence takes over all layers, whole (not split over GPUs).

    Keys and values of each KV head, or for MLA one latent vector and the rotary key: 2·kv_heads·head_dim or
    kv_lora + qk_rope elements a layer (DeepSeek-V2, arXiv 2405.04434, section 2.1). For layers with a sliding window
    it is what a token takes while it is inside the window.
    """
    attention = shapes.attention
    if attention.kind is AttentionKind.MLA:
        elements = attention.kv_lora + attention.qk_rope
    else:
        elements = 2 * attention.kv_heads * attention.head_dim
    return shapes.layers * elements * shapes.kv_dtype.bytes


def _latent_attention(attention: Attention, hidden: int) -> int:
    """MLA: queries (through a latent where q_lora > 0), KV latent with the rotary key, up-projection, output."""
    queries = attention.heads * (attention.qk_nope + attention.qk_rope)
    q = hidden * attention.q_lora + attention.q_lora * queries if attention.q_lora else hidden * queries
    down = hidden * (attention.kv_lora + attention.qk_rope)
    up = attention.kv_lora * attention.heads * (attention.qk_nope + attention.v_head)
    return q + down + up + attention.heads * attention.v_head * hidden


def _router(experts: Experts, hidden: int) -> int:
    return hidden * experts.count + (experts.count if experts.router_bias else 0)


def _shared(experts: Experts, shapes: ModelShapes) -> int:
    gate = shapes.hidden if experts.shared_gate else 0
    return ffn_parameters(shapes.hidden, experts.shared_ffn, shapes.gated) + gate


def _norms(shapes: ModelShapes) -> int:
    """Norms over the hidden size, those of latents and those of queries and keys."""
    attention = shapes.attention
    vectors = shapes.norms_per_layer * shapes.layers + 1
    inner = attention.q_lora + attention.kv_lora if attention.kind is AttentionKind.MLA else 0
    if attention.qk_norm:
        inner += 2 * attention.head_dim
    if attention.qk_norm_whole:
        inner += (attention.heads + attention.kv_heads) * attention.head_dim
    return vectors * shapes.hidden + shapes.layers * inner


def _active(used: int, matrix: int, tied: bool) -> dict[ActiveDefinition, int]:
    matrices = 1 if tied else 2
    return {
        ActiveDefinition.ALL: used,
        ActiveDefinition.WITHOUT_INPUT_EMBEDDING: used - (0 if tied else matrix),
        ActiveDefinition.WITHOUT_EMBEDDINGS: used - matrices * matrix,
    }
