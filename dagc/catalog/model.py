"""A decoder-only model, as far as its shapes are stated.

`ModelSpec` is what a plan or preset states; any field may be unknown (None), because a strategy can be sized and
its hierarchy checked without shapes. What needs shapes calls `shapes()` and gets them whole, or `missing()` to say
which fields are lacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from dagc.catalog.dtype import Dtype
from dagc.source import Span


class AttentionKind(StrEnum):
    """How keys and values are kept: a head each (MHA), a head for a group (GQA), or one latent vector (MLA)."""

    MHA = "mha"
    GQA = "gqa"
    MLA = "mla"


class FfnKind(StrEnum):
    """The feed-forward part of a layer."""

    DENSE = "dense"
    MOE = "moe"


@dataclass(frozen=True, slots=True)
class Attention:
    """Shapes of one attention layer, in elements.

    MHA and GQA use `heads`, `kv_heads`, `head_dim`. MLA uses `heads`, `q_lora` (0: queries are projected
    directly), `kv_lora`, `qk_nope`, `qk_rope`, `v_head`; its `head_dim` is qk_nope + qk_rope and `kv_heads` is
    `heads`. `window` is the sliding window in tokens of the windowed layers, every `window_every`-th layer being
    windowed counted from layer 0 (`window_every` 1: all; 2: layers 0, 2, 4 …); None: full attention everywhere.
    `qk_norm`: queries and keys are normalised with a weight for each element of a head, shared by the heads;
    `qk_norm_whole`: with one for each element of all heads.
    """

    kind: AttentionKind
    heads: int
    kv_heads: int
    head_dim: int
    q_lora: int = 0
    kv_lora: int = 0
    qk_nope: int = 0
    qk_rope: int = 0
    v_head: int = 0
    window: int | None = None
    window_every: int = 1
    qkv_bias: bool = False
    out_bias: bool = False
    sinks: bool = False
    qk_norm: bool = False
    qk_norm_whole: bool = False


@dataclass(frozen=True, slots=True)
class Experts:
    """Shapes of one MoE layer. `ffn` is the inner width of an expert; `shared_ffn` of all shared experts together."""

    count: int
    top: int
    ffn: int
    shared_ffn: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What distinguishes one layer from another: two layers of one kind cost the same."""

    ffn: FfnKind
    window: int | None = None


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """Every shape of a model. `experts` is None for a dense model; `dense_ffn` is 0 when no layer is dense.

    Layer i is MoE when i ≥ `first_dense` and (i - first_dense) % `moe_every` == `moe_every` - 1. `norms_per_layer`
    counts the norms over the hidden size in a layer; one more stands before the head.
    """

    name: str
    layers: int
    hidden: int
    vocab: int
    attention: Attention
    experts: Experts | None
    dense_ffn: int
    first_dense: int
    moe_every: int
    gated: bool
    tied: bool
    weight_dtype: Dtype
    expert_dtype: Dtype
    activation_dtype: Dtype
    kv_dtype: Dtype
    norms_per_layer: int = 2

    def layer_kinds(self) -> tuple[LayerKind, ...]:
        """The kind of each layer, in order."""
        first_moe = self.layers if self.experts is None else self.first_dense
        return _kinds(self.layers, first_moe, self.moe_every, self.attention.window, self.attention.window_every)


@lru_cache(maxsize=64)
def _kinds(layers: int, first_moe: int, moe_every: int, window: int | None, window_every: int) -> tuple[LayerKind, ...]:
    """Kept, because lowering and memory ask for the layers of every stage."""
    moe = (i >= first_moe and (i - first_moe) % moe_every == moe_every - 1 for i in range(layers))
    return tuple(
        LayerKind(FfnKind.MOE if is_moe else FfnKind.DENSE, window if i % window_every == 0 else None)
        for i, is_moe in enumerate(moe)
    )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as stated: any field may be None. Numbers in elements and counts.

    `declared_parameters`, `declared_active` and `declared_weight_bytes` are totals that the plan states; they are
    checked against shapes, never used in place of them. `incomplete` names fields of the attention and experts blocks
    that were not written and without which `attention` or `experts` is None. `spans` says where a field was written:
    keys are the names of fields, and `model` for the block itself. `source` says where a preset's shapes come from.
    """

    name: str
    layers: int | None = None
    hidden: int | None = None
    vocab: int | None = None
    attention: Attention | None = None
    heads: int | None = None
    kv_heads: int | None = None
    expert_count: int | None = None
    top: int | None = None
    experts: Experts | None = None
    is_dense: bool = False
    dense_ffn: int | None = None
    first_dense: int = 0
    moe_every: int = 1
    gated: bool = True
    tied: bool = False
    weight_dtype: Dtype = Dtype.BF16
    expert_dtype: Dtype | None = None
    activation_dtype: Dtype = Dtype.BF16
    kv_dtype: Dtype = Dtype.BF16
    declared_parameters: float | None = None
    declared_active: float | None = None
    declared_weight_bytes: float | None = None
    norms_per_layer: int = 2
    incomplete: tuple[str, ...] = ()
    source: str = "given"
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])

    def missing(self) -> tuple[str, ...]:
        """Names of the fields, as the language writes them, without which there are no shapes."""
        lacking = [name for name in ("layers", "hidden", "vocab") if getattr(self, name) is None]
        if self.attention is None:
            lacking += self._inside("attention")
        if self.experts is None and not self.is_dense:
            lacking += self._inside("experts")
        if self._has_dense_layer() and not self.dense_ffn:
            lacking.append("dense_ffn")
        return tuple(lacking)

    def shapes(self) -> ModelShapes | None:
        """The shapes, or None while `missing()` is not empty."""
        if self.layers is None or self.hidden is None or self.vocab is None or self.attention is None:
            return None
        if self.missing():
            return None
        return ModelShapes(
            name=self.name,
            layers=self.layers,
            hidden=self.hidden,
            vocab=self.vocab,
            attention=self.attention,
            experts=self.experts,
            dense_ffn=self.dense_ffn or 0,
            first_dense=self.first_dense,
            moe_every=self.moe_every,
            gated=self.gated,
            tied=self.tied,
            weight_dtype=self.weight_dtype,
            expert_dtype=self.expert_dtype or self.weight_dtype,
            activation_dtype=self.activation_dtype,
            kv_dtype=self.kv_dtype,
            norms_per_layer=self.norms_per_layer,
        )

    def _inside(self, block: str) -> tuple[str, ...]:
        fields = tuple(name for name in self.incomplete if name.startswith(f"{block}."))
        return fields or (block,)

    def _has_dense_layer(self) -> bool:
        return self.is_dense or self.first_dense > 0 or self.moe_every > 1
