"""What the cache keeps: elements and bytes of a position, of a sequence, and states that do not grow.

Keys and values of each KV head, or for MLA one latent vector and the rotary key: kv_heads · (key + value) or
kv_lora + qk_rope elements a layer (DeepSeek-V2, arXiv 2405.04434, section 2.1). An indexer keeps a key of its own a
position, in fp8 with one fp32 scale for 128 elements (DeepSeek-V3.2; as vLLM and SGLang keep it), or in bf16 where KV
heads choose for themselves. Recurrent layers keep a state a sequence instead.
"""

from __future__ import annotations

from dagc.catalog.attention import Attention
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import LayerKind, ModelShapes

INDEX_KEY_BYTES = Dtype.FP8.bytes + 4 / 128
"""Bytes of an element of an indexer's cached key, its share of the scale included."""


def kv_bytes_per_token(shapes: ModelShapes) -> float:
    """Bytes of cache that one token of one sequence takes over all layers, whole (not split over GPUs).

    For layers with a sliding window it is what a token takes while it is inside the window; entries that cover
    several positions count by their share.
    """
    attentions = (kind.attention for kind in shapes.layer_kinds())
    return sum(entry_bytes(a, shapes.kv_dtype) * (1 + _share(a)) + index_bytes(a) for a in attentions if a)


def state_bytes_per_sequence(shapes: ModelShapes) -> float:
    """Bytes of state that one sequence takes over all recurrent layers, whatever its length."""
    return sum(state_bytes(shapes, kind) for kind in shapes.layer_kinds())


def entry_bytes(attention: Attention, kv_dtype: Dtype, tp: int = 1) -> float:
    """Bytes of one position (or compressed entry) in one layer on one of `tp` ranks."""
    return attention.shard(tp).cached * kv_dtype.bytes


def index_bytes(attention: Attention) -> float:
    """Bytes of an indexer's key of one position, the same on every rank."""
    indexer = attention.own_indexer
    if indexer is None:
        return 0.0
    element = Dtype.BF16.bytes if indexer.by_head else INDEX_KEY_BYTES
    return indexer.head_dim * element / (attention.ratio or 1)


def sequence_bytes(shapes: ModelShapes, kind: LayerKind, length: float, tp: int = 1) -> float:
    """Bytes of cache that one sequence of `length` tokens takes in one layer on one of `tp` ranks, a state left out."""
    if kind.attention is None:
        return 0.0
    entries = kind.reach.kept(length) * entry_bytes(kind.attention, shapes.kv_dtype, tp)
    return entries + length * index_bytes(kind.attention)


def state_bytes(shapes: ModelShapes, kind: LayerKind, tp: int = 1) -> float:
    """Bytes of one sequence's state in one layer on one of `tp` ranks; nothing where the layer is not recurrent."""
    mixer = kind.recurrent
    return mixer.state_bytes(shapes.activation_dtype) * mixer.share(tp) if mixer else 0.0


def _share(attention: Attention) -> float:
    return 1 / attention.ratio if attention.ratio else 0.0
