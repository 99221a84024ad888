"""Names and sizes of the matrices that a quantisation method converts, part by part.

Lists of a quantisation name modules by their path in the checkpoint, so each matrix is known here by the names that the
libraries and checkpoints give it: `self_attn.q_proj`, or `self_attn.qkv_proj` where engines merge it. Biases, norms,
convolutions and other small tensors are no modules that a method converts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dagc.catalog.attention import Attention, Projection
from dagc.catalog.model import Experts, FfnKind, LayerKind
from dagc.catalog.parameters import compressor_parameters
from dagc.catalog.part import Part
from dagc.catalog.recurrent import Recurrent, RecurrentKind

_ATTENTION = ("self_attn", "attn", "mixer", "attention")
_FFN = ("mlp", "feed_forward", "mixer", "block_sparse_moe", "moe", "ffn")
_EXPERTS = ("mlp.experts", "feed_forward.experts", "block_sparse_moe.experts", "mixer.experts", "moe", "ffn.experts")
_UP, _GATE, _DOWN = ("up_proj", "w3", "gate_up_proj"), ("gate_proj", "w1", "gate_up_proj"), ("down_proj", "w2")
_RECURRENT: Mapping[RecurrentKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    RecurrentKind.GATED_DELTA_NET: (
        ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv", "linear_attn.in_proj_z"),
        ("linear_attn.out_proj",),
    ),
    RecurrentKind.KIMI_DELTA: (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("self_attn.o_proj",)),
    RecurrentKind.LIGHTNING: (("self_attn.qkv_proj", "self_attn.output_gate"), ("self_attn.out_proj",)),
    RecurrentKind.MAMBA: (("mamba.in_proj",), ("mamba.out_proj",)),
    RecurrentKind.MAMBA2: (("mixer.in_proj", "mamba.in_proj"), ("mixer.out_proj", "mamba.out_proj")),
    RecurrentKind.SHORT_CONV: (("conv.in_proj",), ("conv.out_proj",)),
}
"""Modules that project the input of a recurrent layer, and its result back."""

_PROJECTIONS: Mapping[Projection, tuple[str, ...]] = {
    Projection.GATE: ("g_proj", "gate_proj"),
    Projection.QUERIES: ("q_proj", "qkv_proj", "Wqkv"),
    Projection.KEYS: ("k_proj", "qkv_proj", "Wqkv"),
    Projection.VALUES: ("v_proj", "qkv_proj", "Wqkv"),
    Projection.QUERY_DOWN: ("q_a_proj", "wq_a"),
    Projection.QUERY_UP: ("q_b_proj", "q_proj", "wq_b"),
    Projection.KEY_VALUE_DOWN: ("kv_a_proj_with_mqa", "kv_a_proj", "wkv_a"),
    Projection.KEY_VALUE_UP: ("kv_b_proj", "wkv_b"),
    Projection.KEY_VALUE: ("kv_proj", "wkv"),
    Projection.OUTPUT: ("o_proj", "out_proj", "wo"),
    Projection.OUTPUT_DOWN: ("o_a_proj", "wo_a"),
    Projection.OUTPUT_UP: ("o_b_proj", "wo_b"),
}
"""Modules of attention by what they compute."""


@dataclass(frozen=True, slots=True)
class Module:
    """One matrix of a part in one layer: the names that it has there, `mlp.up_proj`, and its number of elements.

    `layer` is None for a matrix that is in no layer. Without names it is one that checkpoints leave as it is.
    """

    part: Part
    layer: int | None
    names: tuple[str, ...]
    elements: int

    def paths(self) -> Iterator[str]:
        """Its names with the layer before them: `layers.3.mlp.up_proj`."""
        return (name if self.layer is None else f"layers.{self.layer}.{name}" for name in self.names)


def modules(stack: tuple[LayerKind, ...], hidden: int, dense_ffn: int, experts: Experts | None) -> Iterator[Module]:
    """Every matrix of a stack of layers that a method may convert, of the experts of a layer one for all."""
    for index, kind in enumerate(stack):
        for part, names, elements in _layer(kind, hidden, dense_ffn, experts):
            yield Module(part, index, names, elements)


_Matrix = tuple[Part, tuple[str, ...], int]


def _layer(kind: LayerKind, hidden: int, dense_ffn: int, experts: Experts | None) -> Iterator[_Matrix]:
    if kind.attention:
        yield from _attention(kind.attention, hidden)
    if kind.recurrent:
        yield from _recurrent(kind.recurrent, hidden)
    if kind.ffn is FfnKind.DENSE:
        yield from _ffn(Part.DENSE_FFN, _FFN, hidden * (kind.dense_ffn or dense_ffn))
    elif kind.ffn is FfnKind.MOE and experts:
        roots = tuple(name for root in _EXPERTS for name in (f"{root}.0", root))
        yield from _ffn(Part.EXPERTS, roots, experts.width(hidden) * experts.ffn)
        if experts.shared_ffn:
            yield from _ffn(Part.SHARED_EXPERTS, _shared_roots(), hidden * experts.shared_ffn)


def _shared_roots() -> tuple[str, ...]:
    inner = ("shared_experts", "shared_expert", "shared_mlp", "share_expert")
    return (*(f"{root}.{name}" for root in _FFN for name in inner), "share_expert", "shared_mlp")


def _ffn(part: Part, roots: tuple[str, ...], elements: int) -> Iterator[_Matrix]:
    for matrices in (_GATE, _UP, _DOWN):
        yield part, tuple(f"{root}.{name}" for root in roots for name in matrices), elements


def _attention(attention: Attention, hidden: int) -> Iterator[_Matrix]:
    for projection, elements, _ in attention.matrices(hidden):
        # Nemotron-H has `mixer.o_proj` for attention, and `mixer.out_proj` for a state.
        paths = tuple(
            f"{root}.{name}"
            for root in _ATTENTION
            for name in _PROJECTIONS[projection]
            if (root, name) != ("mixer", "out_proj")
        )
        if elements:
            yield Part.ATTENTION, paths, elements
    if attention.ratio:
        # DeepSeek-V4 keeps compressors, and the weights of an indexer's heads, in bf16 beside fp8 projections.
        indexer = attention.own_indexer
        yield Part.ATTENTION, (), compressor_parameters(attention, attention.head_dim, hidden)
        if indexer:
            weights = hidden * indexer.heads
            yield Part.ATTENTION, (), compressor_parameters(attention, indexer.head_dim, hidden) + weights


def _recurrent(mixer: Recurrent, hidden: int) -> Iterator[_Matrix]:
    into, out = _RECURRENT[mixer.kind]
    yield Part.MIXERS, into, hidden * mixer.columns
    yield Part.MIXERS, out, hidden * mixer.inner
