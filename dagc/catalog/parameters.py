"""Counts the parameters of a model from its shapes, part by part, and the bytes of its weights.

Assumes the usual decoder: an embedding, layers of norm, mixer, norm and feed-forward, a norm, a head. Rotary
positions have no parameters. Left out are multi-token-prediction layers and vision towers, which the published totals
of some models include (`ModelSpec.extras`). A bias of the router is counted where the model has one, though a router
may use it only to choose (`e_score_correction_bias` of DeepSeek-V3).

Bytes: matrices of attention, dense feed-forward and shared experts are stored in the weight type, routed experts in
the expert type; embedding, router, norms and head stay in the activation type, which is how quantised checkpoints are
published. `ModelShapes.stored` says where a model differs, and what scales are kept beside the weights.

Counts the parameters of one attention layer, and those of its norms.

A recurrent mixer counts its own. Attention of part of the heads (`Attention.shard`) gives the parameters of one rank:
what does not depend on heads, such as the down-projections of latent attention and an indexer, stays whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dagc.catalog.attention import Attention, AttentionKind, Indexer
from dagc.catalog.dtype import Stored
from dagc.catalog.model import Experts, Extra, FfnKind, LayerKind, ModelShapes
from dagc.catalog.part import Part


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
    matrix = shapes.vocab * shapes.hidden
    by_part = dict.fromkeys(Part, 0)
    by_part[Part.EMBEDDING] = matrix
    by_part[Part.NORMS] = final_norm(shapes)
    by_part[Part.OTHER] = shapes.other_final
    by_part[Part.HEAD] = (0 if shapes.tied else matrix) + (shapes.vocab if shapes.head_bias else 0)
    kinds = Counter(shapes.layer_kinds())
    for kind, layers in kinds.items():
        for part, number in layer_parameters(shapes, kind).items():
            by_part[part] += layers * number
    idle = sum(layers * _idle(shapes) for kind, layers in kinds.items() if kind.ffn is FfnKind.MOE)
    stored = {part: number * part_stored(shapes, part).bytes for part, number in by_part.items()}
    return ParameterCount(by_part, _active(sum(by_part.values()) - idle, matrix, shapes.tied), stored)


def layer_parameters(shapes: ModelShapes, kind: LayerKind) -> dict[Part, int]:
    """Parameters of one layer by part; parts that it lacks are left out."""
    found = {Part.NORMS: _norms(shapes, kind), Part.OTHER: shapes.other}
    if kind.attention:
        found[Part.ATTENTION] = attention_parameters(kind.attention, shapes.hidden)
    elif kind.recurrent:
        found[Part.MIXERS] = kind.recurrent.parameters(shapes.hidden)
    if kind.ffn is FfnKind.DENSE:
        found[Part.DENSE_FFN] = ffn_parameters(shapes.hidden, shapes.dense_width(kind), shapes.gated, shapes.ffn_bias)
    elif kind.ffn is FfnKind.MOE and shapes.experts:
        experts = shapes.experts
        found[Part.ROUTER] = _router(experts, shapes.hidden)
        found[Part.EXPERTS] = experts.count * expert_parameters(shapes)
        found[Part.SHARED_EXPERTS] = _shared(experts, shapes)
        found[Part.OTHER] += 2 * shapes.hidden * experts.latent
        found[Part.NORMS] += experts.latent if experts.latent_norm else 0
    return found


def part_stored(shapes: ModelShapes, part: Part) -> Stored:
    """How the weights of a part are stored."""
    for named, stored in shapes.stored:
        if named is part:
            return stored
    match part:
        case Part.ATTENTION | Part.MIXERS | Part.DENSE_FFN | Part.SHARED_EXPERTS:
            return Stored(shapes.weight_dtype)
        case Part.EXPERTS:
            return Stored(shapes.expert_dtype)
        case Part.EMBEDDING | Part.ROUTER | Part.NORMS | Part.OTHER | Part.HEAD:
            return Stored(shapes.activation_dtype)


def ffn_parameters(hidden: int, inner: int, gated: bool, bias: bool = False) -> int:
    """A feed-forward block: up and down projection, and the gate's where it has one; a bias for each."""
    ups = 2 if gated else 1
    return (ups + 1) * hidden * inner + (ups * inner + hidden if bias else 0)


def expert_parameters(shapes: ModelShapes) -> int:
    """One routed expert of one layer; 0 for a dense model."""
    experts = shapes.experts
    if experts is None:
        return 0
    return ffn_parameters(experts.width(shapes.hidden), experts.ffn, shapes.gated, experts.bias)


def final_norm(shapes: ModelShapes) -> int:
    """The norm before the head."""
    return shapes.hidden * (2 if shapes.norm_bias else 1)


def _idle(shapes: ModelShapes) -> int:
    """Parameters of the experts of a layer that a token does not visit."""
    return (shapes.experts.count - shapes.experts.top) * expert_parameters(shapes) if shapes.experts else 0


def _router(experts: Experts, hidden: int) -> int:
    return hidden * experts.count + (experts.count if experts.router_bias else 0) + experts.router_more


def _shared(experts: Experts, shapes: ModelShapes) -> int:
    """Shared experts, as wide as hidden states, and the gate that weighs their result."""
    gate = shapes.hidden if experts.shared_gate else 0
    return gate + (ffn_parameters(shapes.hidden, experts.shared_ffn, shapes.gated) if experts.shared_ffn else 0)


def _norms(shapes: ModelShapes, kind: LayerKind) -> int:
    """Norms of one layer: over the hidden size, and those inside its mixer."""
    outer = shapes.norms_per_layer * kind.blocks // 2 * shapes.hidden * (2 if shapes.norm_bias else 1)
    inner = attention_norms(kind.attention) if kind.attention else kind.recurrent.norm if kind.recurrent else 0
    return outer + inner


def _active(used: int, matrix: int, tied: bool) -> dict[ActiveDefinition, int]:
    matrices = 1 if tied else 2
    return {
        ActiveDefinition.ALL: used,
        ActiveDefinition.WITHOUT_INPUT_EMBEDDING: used - (0 if tied else matrix),
        ActiveDefinition.WITHOUT_EMBEDDINGS: used - matrices * matrix,
    }


def attention_parameters(attention: Attention, hidden: int) -> int:
    """Projections, biases and sinks of one attention layer; its norms are counted among the norms."""
    matrices = attention.matrices(hidden)
    weights = sum(matrix.elements for matrix in matrices) + (attention.heads if attention.sinks else 0)
    biases = sum(matrix.bias for matrix in matrices) if attention.qkv_bias else 0
    entries = compressor_parameters(attention, attention.head_dim, hidden) if attention.ratio else 0
    choice = _indexer(attention, attention.own_indexer, hidden) if attention.own_indexer else 0
    return weights + biases + (hidden if attention.out_bias else 0) + entries + choice


def attention_norms(attention: Attention) -> int:
    """Weights of the norms inside one attention layer: of latents, of queries and keys, of an indexer's key."""
    inner = 0
    if attention.kind is AttentionKind.MLA:
        inner = attention.q_lora + attention.kv_lora
    elif attention.kind is AttentionKind.SHARED:
        inner = attention.q_lora + attention.head_dim * (2 if attention.ratio else 1)
    if attention.qk_norm:
        inner += attention.head_dim * (1 if attention.reads_other else 2)
    if attention.qk_norm_whole:
        inner += (attention.heads + attention.kv_heads) * attention.head_dim
    if attention.own_indexer:
        inner += attention.own_indexer.head_dim * (1 if attention.ratio else 2)
    return inner


def compressor_parameters(attention: Attention, width: int, hidden: int) -> int:
    """What makes one entry of `ratio` positions: a projection, its gate, and a bias for each position.

    Entries that an indexer chooses from overlap, each made of its own positions and of those before (DeepSeek-V4
    technical report, section 2.3.1), and so take twice the width.
    """
    series = 2 if attention.indexer else 1
    return series * width * (2 * hidden + attention.ratio)


def _indexer(attention: Attention, indexer: Indexer, hidden: int) -> int:
    """Queries from the latent, one key (or compressed entries), a weight for each head; without weights where heads
    choose for themselves, their queries from the hidden state.
    """
    queries = (attention.q_lora or hidden) * indexer.heads * indexer.head_dim
    key = compressor_parameters(attention, indexer.head_dim, hidden) if attention.ratio else hidden * indexer.head_dim
    return queries + key + (0 if indexer.by_head else hidden * indexer.heads)


def prediction_layers(layers: int, shapes: ModelShapes) -> Extra:
    """So many layers to predict further tokens, each like the model's last one."""
    return layers_alike(layers, shapes, (_with_indexer(shapes.layer_kinds()[-1]),))


def layers_alike(layers: int, shapes: ModelShapes, kinds: tuple[LayerKind, ...]) -> Extra:
    """So many layers to predict further tokens, each of layers of these kinds."""
    one = sum(sum(layer_parameters(shapes, kind).values()) for kind in kinds)
    one += 2 * shapes.hidden * shapes.hidden + 3 * shapes.hidden
    return Extra("mtp", layers * one, prediction_text(layers))


def prediction_text(layers: int) -> str:
    """`2 layers to predict further tokens`."""
    return f"{layers} layer{'s' if layers > 1 else ''} to predict further tokens"


def _with_indexer(kind: LayerKind) -> LayerKind:
    """The kind with an indexer of its own, which such a layer has even where the model's last one takes another's."""
    mixer = kind.attention
    if mixer is None or mixer.indexer is None:
        return kind
    return replace(kind, mixer=replace(mixer, indexer=replace(mixer.indexer, reads_other=False)))
