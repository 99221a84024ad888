"""The attention of a layer: its shapes, and which positions a token attends to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple


class AttentionKind(StrEnum):
    """How keys and values are kept.

    A head each (MHA), a head for a group (GQA), one latent vector from which all heads are expanded (MLA), or one
    vector that is key and value of all heads at once (SHARED, of DeepSeek-V4).
    """

    MHA = "mha"
    GQA = "gqa"
    MLA = "mla"
    SHARED = "shared"


class Gate(StrEnum):
    """What multiplies the result of attention before its output projection: nothing, a number a head, or an element."""

    NONE = "none"
    HEAD = "head"
    ELEMENT = "element"


@dataclass(frozen=True, slots=True)
class Indexer:
    """What chooses the `top` positions that a token attends to (DeepSeek sparse attention, DeepSeek-V3.2).

    It scores every position with `heads` heads of `head_dim` against one cached key of that width. With `reads_other`
    the choice is that of an earlier layer, and this one has neither weights nor keys for it. With `by_head` there is a
    head for each KV head, which chooses for that one alone, whole blocks of positions (MiniMax-M3, vLLM's
    `models/minimax_m3`): queries come from the hidden state, scores are not weighed, and keys stay in bf16.
    """

    heads: int
    head_dim: int
    top: int
    reads_other: bool = False
    by_head: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How many positions a token attends to: the last `window` (None: all), at most `top` of them.

    With `ratio` > 0 there is an entry more for each `ratio` positions of the whole context, and `top` limits these.
    """

    window: int | None = None
    ratio: int = 0
    top: int | None = None

    def near(self, length: float) -> float:
        """Positions inside the window of a token with `length` positions before it."""
        return _limited(length, self.window)

    def attended(self, length: float) -> float:
        """Positions and entries that a token with `length` positions before it attends to."""
        near = self.near(length)
        return near + _limited(length / self.ratio, self.top) if self.ratio else _limited(near, self.top)

    def kept(self, length: float) -> float:
        """Positions and entries that the cache keeps of `length` positions: a choice among them drops none."""
        return self.near(length) + (length / self.ratio if self.ratio else 0)

    def pairs(self, length: float) -> float:
        """Pairs of a token and what it attends to, over a causal prompt of `length` tokens.

        P²/2 without a limit, with one of w < P positions wP - w²/2: each token sees the w before it, the first w fewer.
        """
        if not self.ratio:
            return _causal(length, _limited(self.near(length), self.top))
        entries = length if self.top is None else min(length, self.top * self.ratio)
        return _causal(length, self.near(length)) + _causal(length, entries) / self.ratio


def _limited(number: float, limit: int | None) -> float:
    return number if limit is None else min(number, limit)


def _causal(length: float, seen: float) -> float:
    return seen * length - seen * seen / 2


class Projection(StrEnum):
    """What a matrix of attention computes: from the hidden state or a latent to heads or a latent, and back."""

    GATE = "gate"
    QUERIES = "queries"
    KEYS = "keys"
    VALUES = "values"
    QUERY_DOWN = "query down"
    QUERY_UP = "query up"
    KEY_VALUE_DOWN = "key-value down"
    KEY_VALUE_UP = "key-value up"
    KEY_VALUE = "key-value"
    OUTPUT = "output"
    OUTPUT_DOWN = "output down"
    OUTPUT_UP = "output up"


class AttentionMatrix(NamedTuple):
    """One projection: elements of its weight, inputs × outputs, and of its bias where the layer has biases there."""

    projection: Projection
    elements: int
    bias: int = 0


@dataclass(frozen=True, slots=True)
class Attention:
    """Shapes of one attention layer, in elements.

    MHA and GQA use `heads`, `kv_heads`, `head_dim`, and `v_head` where values are of another width than keys. MLA uses
    `heads`, `q_lora` (0: queries are projected directly), `kv_lora`, `qk_nope`, `qk_rope`, `v_head`; its `head_dim` is
    qk_nope + qk_rope and `kv_heads` is `heads`. SHARED uses `heads`, `head_dim`, `q_lora`, and `o_groups` groups of
    heads that are each lowered to `o_lora` before the output; `ratio` > 0 adds an entry for each so many positions.

    `window` is the sliding window in tokens of the windowed layers, every `window_every`-th layer being
    windowed counted from layer 0 (`window_every` 1: all; 2: layers 0, 2, 4 …); None: full attention everywhere.
    `qk_norm`: queries and keys are normalised with a weight for each element of a head, shared by the heads;
    `qk_norm_whole`: with one for each element of all heads. `key_is_value`: there is no projection to values.
    `reads_other`: keys and values are those of an earlier layer, so that this one projects and caches none.
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
    gate: Gate = Gate.NONE
    key_is_value: bool = False
    reads_other: bool = False
    indexer: Indexer | None = None
    ratio: int = 0
    o_groups: int = 0
    o_lora: int = 0

    @property
    def own_indexer(self) -> Indexer | None:
        """The indexer that the layer itself has, with weights and keys."""
        return None if self.indexer is None or self.indexer.reads_other else self.indexer

    @property
    def value_dim(self) -> int:
        """Width of a head's value."""
        return self.v_head or self.head_dim

    @property
    def gate_columns(self) -> int:
        """Columns of the projection to the gate."""
        return {Gate.NONE: 0, Gate.HEAD: self.heads, Gate.ELEMENT: self.heads * self.value_dim}[self.gate]

    @property
    def cached(self) -> int:
        """Elements that the cache keeps of one position in one layer, those of an indexer left out."""
        if self.reads_other:
            return 0
        match self.kind:
            case AttentionKind.MLA:
                return self.kv_lora + self.qk_rope
            case AttentionKind.SHARED:
                return self.head_dim
            case AttentionKind.MHA | AttentionKind.GQA:
                return self.kv_heads * (self.head_dim + self.value_dim)

    def matrices(self, hidden: int) -> tuple[AttentionMatrix, ...]:
        """The projections of a layer over a hidden state of this width; those that it does not have are empty."""
        width, result = self.heads * self.head_dim, self.heads * self.value_dim
        gate = AttentionMatrix(Projection.GATE, hidden * self.gate_columns)
        match self.kind:
            case AttentionKind.MLA:
                down, up = self.kv_lora + self.qk_rope, self.heads * (self.qk_nope + self.v_head)
                return (
                    gate,
                    AttentionMatrix(Projection.QUERY_DOWN, hidden * self.q_lora, self.q_lora),
                    AttentionMatrix(Projection.QUERY_UP, (self.q_lora or hidden) * width),
                    AttentionMatrix(Projection.KEY_VALUE_DOWN, hidden * down, down),
                    AttentionMatrix(Projection.KEY_VALUE_UP, self.kv_lora * up),
                    AttentionMatrix(Projection.OUTPUT, result * hidden),
                )
            case AttentionKind.SHARED:
                return (
                    gate,
                    AttentionMatrix(Projection.QUERY_DOWN, hidden * self.q_lora),
                    AttentionMatrix(Projection.QUERY_UP, self.q_lora * width),
                    AttentionMatrix(Projection.KEY_VALUE, hidden * self.head_dim),
                    AttentionMatrix(Projection.OUTPUT_DOWN, width * self.o_lora),
                    AttentionMatrix(Projection.OUTPUT_UP, self.o_groups * self.o_lora * hidden),
                )
            case AttentionKind.MHA | AttentionKind.GQA:
                keys = 0 if self.reads_other else self.kv_heads * self.head_dim
                values = 0 if self.reads_other or self.key_is_value else self.kv_heads * self.value_dim
                return (
                    gate,
                    AttentionMatrix(Projection.QUERIES, hidden * width, width),
                    AttentionMatrix(Projection.KEYS, hidden * keys, keys),
                    AttentionMatrix(Projection.VALUES, hidden * values, values),
                    AttentionMatrix(Projection.OUTPUT, result * hidden),
                )

    def reach(self, window: int | None) -> Reach:
        """What a token of a layer with this window attends to."""
        return Reach(window, self.ratio, self.indexer.top if self.indexer else None)

    def shard(self, tp: int) -> Attention:
        """One of `tp` parts, the largest where heads do not divide; a KV head is held whole, so by several ranks."""
        return _part(self, tp)


@lru_cache(maxsize=256)
def _part(whole: Attention, tp: int) -> Attention:
    """Kept, because memory asks for it once a figure."""
    heads = -(-whole.heads // tp)
    kv_heads = heads if whole.kind is AttentionKind.MLA else -(-whole.kv_heads // tp)
    indexer = whole.indexer
    if indexer and indexer.by_head:
        indexer = replace(indexer, heads=-(-indexer.heads // tp))
    return replace(whole, heads=heads, kv_heads=kv_heads, o_groups=-(-whole.o_groups // tp), indexer=indexer)
