"""A decoder-only model, as far as its shapes are stated.

`ModelSpec` is what a plan or preset states; any field may be unknown (None), because a strategy can be sized and
its hierarchy checked without shapes. What needs shapes calls `shapes()` and gets them whole, or `missing()` to say
which fields are lacking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from dagc.catalog.attention import Attention, Reach
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.part import Part
from dagc.catalog.recurrent import Recurrent
from dagc.diag.diagnostic import Diagnostic
from dagc.source import Span


class FfnKind(StrEnum):
    """The feed-forward part of a layer."""

    DENSE = "dense"
    MOE = "moe"
    NONE = "none"


PUBLISHED = re.compile(r"config\.json of (\S+) on Hugging Face")


@dataclass(frozen=True, slots=True)
class Experts:
    """Shapes of one MoE layer. `ffn` is the inner width of an expert; `shared_ffn` of all shared experts together.

    `latent` > 0: routed experts work on vectors of that width, to which and from which hidden states are projected,
    the latter behind a norm with `latent_norm`. `router_more` are parameters of the router beyond its matrix and bias.
    With `groups` > 0 a token's experts all lie in `top_groups` of as many equal groups, so that few nodes get it.
    """

    count: int
    top: int
    ffn: int
    shared_ffn: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False
    latent: int = 0
    latent_norm: bool = False
    router_more: int = 0
    groups: int = 0
    top_groups: int = 0

    def width(self, hidden: int) -> int:
        """Width of what a routed expert takes and yields."""
        return self.latent or hidden


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What distinguishes one layer from another: two layers of one kind cost the same.

    `mixer` is what mixes tokens, None in a layer that is feed-forward only; `window` is that of its attention.
    `dense_ffn` is the inner width of its dense feed-forward where layers differ in it, 0 where the model's holds.
    """

    ffn: FfnKind
    mixer: Attention | Recurrent | None = None
    window: int | None = None
    dense_ffn: int = 0

    def __hash__(self) -> int:
        """Of what distinguishes most kinds of a model: kinds are looked up far more often than they differ."""
        return hash((self.ffn, self.window))

    @property
    def attention(self) -> Attention | None:
        """The attention of the layer, if that is its mixer."""
        return self.mixer if isinstance(self.mixer, Attention) else None

    @property
    def recurrent(self) -> Recurrent | None:
        """The recurrent mixer of the layer, if it has one."""
        return self.mixer if isinstance(self.mixer, Recurrent) else None

    @property
    def reach(self) -> Reach:
        """What a token attends to; nothing is limited where the layer has no attention."""
        return self.attention.reach(self.window) if self.attention else Reach()

    @property
    def blocks(self) -> int:
        """How many of mixer and feed-forward the layer has; each has its norms."""
        return (self.mixer is not None) + (self.ffn is not FfnKind.NONE)


@dataclass(frozen=True, slots=True)
class Extra:
    """A part of a checkpoint that serving the text model can do without: `mtp` layers, a `vision` tower.

    `parameters` is None where the configuration does not determine them; `meaning` says what is counted.
    """

    name: str
    parameters: int | None
    meaning: str


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """Every shape of a model. `experts` is None for a dense model; `dense_ffn` is 0 when no layer is dense.

    Layer i is MoE when i ≥ `first_dense` and (i - first_dense) % `moe_every` == `moe_every` - 1, and all layers have
    `attention`; but where `stack` is given it states each layer, and `attention` is that of its full-attention layers,
    `dense_ffn` the widest of its dense ones.
    `norms_per_layer` counts the norms over the hidden size in a layer of mixer and feed-forward; one more is before
    the head. `stored` are the parts that are not stored as `weight_dtype` and `expert_dtype` say; `other` and
    `other_final` are further parameters, of each layer and of the model.
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
    stack: tuple[LayerKind, ...] = ()
    ffn_bias: bool = False
    norm_bias: bool = False
    head_bias: bool = False
    other: int = 0
    other_final: int = 0
    stored: tuple[tuple[Part, Stored], ...] = ()

    def __hash__(self) -> int:
        """Of what distinguishes most models: what is kept for one is looked up far more often than models differ."""
        return hash((self.name, self.layers, self.hidden))

    def dense_width(self, kind: LayerKind) -> int:
        """Inner width of the dense feed-forward of a layer of this kind."""
        return kind.dense_ffn or self.dense_ffn

    def layer_kinds(self) -> tuple[LayerKind, ...]:
        """The kind of each layer, in order."""
        if self.stack:
            return self.stack
        first_moe = self.layers if self.experts is None else self.first_dense
        return _kinds(self.layers, first_moe, self.moe_every, self.attention)


@lru_cache(maxsize=64)
def _kinds(layers: int, first_moe: int, moe_every: int, attention: Attention) -> tuple[LayerKind, ...]:
    """Kept, because lowering and memory ask for the layers of every stage; equal ones are one, quick to compare."""
    moe = (i >= first_moe and (i - first_moe) % moe_every == moe_every - 1 for i in range(layers))
    window, every = attention.window, attention.window_every
    kinds = (
        LayerKind(FfnKind.MOE if is_moe else FfnKind.DENSE, attention, window if i % every == 0 else None)
        for i, is_moe in enumerate(moe)
    )
    one: dict[LayerKind, LayerKind] = {}
    return tuple([one.setdefault(kind, kind) for kind in kinds])


@dataclass(frozen=True)
class ModelSpec:
    """A model as stated: any field may be None. Numbers in elements and counts.

    `declared_parameters`, `declared_active`, `declared_weight_bytes` and `declared_kv_bytes` (of a token over all
    layers) are figures that the plan states; they are checked against shapes, never used in place of them. `stack` and
    what follows it are those of `ModelShapes`; `published_fp8` is `stored` of the makers' checkpoint in fp8, where that
    is another; `extras` are parts that are not among the shapes. `incomplete` names
    fields of the attention and experts blocks that were not written and without which `attention` or `experts` is
    None. `spans` says where a field was written: keys are the names of fields, and `model` for the block itself.
    `source` says where a preset's shapes come from, `warnings` what is doubtful in its file.
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
    declared_kv_bytes: float | None = None
    norms_per_layer: int = 2
    stack: tuple[LayerKind, ...] = ()
    ffn_bias: bool = False
    norm_bias: bool = False
    head_bias: bool = False
    other: int = 0
    other_final: int = 0
    stored: tuple[tuple[Part, Stored], ...] = ()
    published_fp8: tuple[tuple[Part, Stored], ...] = ()
    extras: tuple[Extra, ...] = ()
    incomplete: tuple[str, ...] = ()
    source: str = "given"
    warnings: tuple[Diagnostic, ...] = ()
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

    @property
    def repository(self) -> str:
        """The Hugging Face repository whose configuration it has; empty of others."""
        found = PUBLISHED.match(self.source)
        return found[1] if found else ""

    @property
    def dense_widths(self) -> tuple[int, ...]:
        """Inner widths of dense layers, the widest first; none where `dense_ffn` is not stated."""
        if not self.dense_ffn:
            return ()
        widths = {kind.dense_ffn for kind in self.stack if kind.dense_ffn}
        return tuple(sorted(widths or {self.dense_ffn}, reverse=True))

    def shapes(self) -> ModelShapes | None:
        """The shapes, or None while `missing()` is not empty."""
        return self._shapes

    @cached_property
    def _shapes(self) -> ModelShapes | None:
        if self.layers is None or self.hidden is None or self.vocab is None or self.attention is None:
            return None
        if self.missing():
            return None
        same = {shape.name: getattr(self, shape.name) for shape in fields(ModelShapes)}
        decided: dict[str, Any] = {
            "dense_ffn": self.dense_ffn or 0,
            "expert_dtype": self.expert_dtype or self.weight_dtype,
            "stack": self._stack(self.layers),
        }
        return ModelShapes(**same | decided)

    def _stack(self, layers: int) -> tuple[LayerKind, ...]:
        """The stack for so many layers: its first ones, or all of it over again."""
        return tuple(self.stack[i % len(self.stack)] for i in range(layers)) if self.stack else ()

    def _inside(self, block: str) -> tuple[str, ...]:
        fields = tuple(name for name in self.incomplete if name.startswith(f"{block}."))
        return fields or (block,)

    def _has_dense_layer(self) -> bool:
        if self.stack:
            return any(kind.ffn is FfnKind.DENSE for kind in self.stack)
        return self.is_dense or self.first_dense > 0 or self.moe_every > 1
