"""The core of attention: scores, softmax, weighted values.

Prefill cuts the queries of each head into rows of 128, which differ in length under a causal mask:

    arithmetic = (2·heads·width·(pairs + start·queries) + wave · longest row · processors) / (peak share · peak)

`start` is what each query costs before the first position, in positions; the longest row, 128 queries with the whole
context, is waited for at the end (Graham's bound on list scheduling, 1969).

Decode reads the cache once for all queries of a key-value head. Products on tensor cores have a least number of rows,
64 on Hopper; a head that serves fewer queries computes as many:

    arithmetic = 2 · kv_heads · max(rows, heads / kv_heads) · width · pairs / (peak share · peak)

and each sequence costs `sequence` seconds of its own, spread over the device, and reads `page` positions past its end.
Kernels of heads give each block of threads a sequence and a key-value head, and a block draws `block` of the bandwidth
alone. Few long sequences are cut among more of them, into `parts` in all at most, each with all key-value heads:

    memory = bytes / (bandwidth · min(memory share, block · kv_heads · max(sequences, parts)))

`width` is that of a key and a value together; latent attention (MLA) has one key-value head whose value is a part of
its key. Rows: FlashAttention-3 (Shah et al., 2024) and FlashMLA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from dagc.catalog.calibration import Work
from dagc.catalog.dtype import Dtype
from dagc.ops.formula import (
    LAUNCH,
    PEAK,
    POWER,
    STREAM,
    WAVE,
    Coefficient,
    Coefficients,
    Formula,
    Inputs,
    Machine,
    Terms,
)
from dagc.ops.lazy import lazy
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.op import Computation, OpKind, Setting, Sizes

ROWS = 128
"""Queries that prefill takes at once."""

ENDS_BYTES = 2.0
"""Bytes of an element of queries and results."""

START = Coefficient("start", 200.0, 0.0, 3000.0, "positions that each query costs before its first one")
SEQUENCE = Coefficient("sequence", 1e-8, 0.0, 2e-6, "seconds for each sequence")
MINIMUM_ROWS = Coefficient("rows", 32.0, 1.0, 64.0, "rows of the smallest product, in queries")
BLOCK = Coefficient("block", 0.02, 0.001, 1.0, "share of the bandwidth that a block of threads draws alone")
PARTS = Coefficient("parts", 16.0, 1.0, 128.0, "parts into which few sequences are cut, in all")
PAGE = Coefficient("page", 16.0, 0.0, 2000.0, "positions that are read of each sequence past its end")


def prefill_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: pairs of query and position, queries, of all sequences; sequences, heads, width, bytes."""
    each = 2.0 * x["width"]
    length = x["queries"] / np.maximum(x["sequences"], 1.0)
    longest = each * np.minimum(ROWS, length) * (length + c["start"])
    work = each * x["heads"] * (x["pairs"] + c["start"] * x["queries"]) + c["wave"] * longest * machine.processors
    return Terms(
        launch=c["launch"],
        compute=work / (machine.flops_per_second * c["peak"]),
        memory=x["bytes"] / (machine.bytes_per_second * c["memory"]),
        power=c["power"],
    )


def split_decode_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs as of `decode_terms`."""
    drawn = c["block"] * x["kv_heads"] * np.maximum(x["sequences"], c["parts"])
    return decode_terms({**c, "memory": np.minimum(c["memory"], drawn)}, x, machine)


def decode_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: pairs, sequences, heads, kv_heads, width, bytes of the context and of queries and results."""
    rows = np.maximum(c["rows"], x["heads"] / x["kv_heads"])
    work = 2.0 * x["kv_heads"] * rows * x["width"] * x["pairs"]
    context = np.maximum(x["pairs"] / np.maximum(x["sequences"], 1.0), 1.0)
    cached = np.maximum(x["bytes"] - ENDS_BYTES * x["sequences"] * x["heads"] * x["width"], 0.0)
    return Terms(
        launch=c["launch"],
        compute=work / (machine.flops_per_second * c["peak"]),
        memory=(x["bytes"] + cached * c["page"] / context) / (machine.bytes_per_second * c["memory"]),
        power=c["power"],
        serial=c["sequence"] * x["sequences"],
    )


PREFILL = Formula(
    "attention_prefill", (PEAK, START, WAVE, STREAM, LAUNCH, POWER), ("queries", "pairs", "heads"), prefill_terms
)
_DECODE = (PEAK, MINIMUM_ROWS, STREAM, LAUNCH, POWER, SEQUENCE, PAGE)
DECODE = Formula("attention_decode", _DECODE, ("pairs", "sequences", "heads"), decode_terms)
SPLIT_DECODE = Formula(
    "attention_decode_split",
    (replace(PEAK, low=0.55), MINIMUM_ROWS, replace(STREAM, high=0.93), *_DECODE[3:], BLOCK, PARTS),
    ("pairs", "sequences", "heads"),
    split_decode_terms,
)
"""Arithmetic and memory are alike on one device: bounds keep the one from standing for the other, which another device
would show."""


class KeyValues(StrEnum):
    """What the core takes keys and values from.

    `HEADS`: a key and a value of each key-value head. `EXPANDED`: latents of MLA that were expanded to a key and a
    value of each head. `LATENT`: one vector that is the key of all heads and, in whole or in part, their value.
    """

    HEADS = "heads"
    EXPANDED = "expanded"
    LATENT = "latent"


@dataclass(frozen=True, eq=False)
class AttentionCore(Computation):
    """Scores, softmax and weighted values of the heads of a rank.

    By rank: `tokens` that attend, `positions` that are read, `pairs` of a token and a position that it attends to, and
    `sequences`. `key` and `value` are widths of a head in elements of the type `cache`.
    """

    tokens: Load
    positions: Load
    pairs: Load
    sequences: Load
    heads: int
    kv_heads: int
    key: int
    value: int
    cache: Dtype
    key_values: KeyValues
    activation: Dtype

    name = "attention_core"
    work = Work.ATTENTION
    title = "scores, softmax, weighted values"
    keeps = "t"
    family = OpKind.ATTENTION

    @property
    def dtype(self) -> Dtype:
        """The type of activations."""
        return self.activation

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """Of the fullest rank; a latent is one key-value head."""
        return (
            ("queries", max_rank(self.tokens)),
            ("context", max_rank(self.positions)),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("key", self.key),
            ("value", self.value),
            ("sequences", max_rank(self.sequences)),
        )

    @property
    def position_bytes(self) -> float:
        """What one position takes, keys and values of all the rank's heads; a latent is both."""
        is_latent = self.key_values is KeyValues.LATENT
        return (self.key if is_latent else self.kv_heads * (self.key + self.value)) * self.cache.bytes

    @lazy
    def flops(self) -> Load:
        """2 (key + value) for each head and pair."""
        return compress_uniform(2.0 * self.heads * (self.key + self.value) * self.pairs)

    @lazy
    def memory_bytes(self) -> Load:
        """The context once, queries and results."""
        ends = self.tokens * self.heads * (self.key + self.value) * self.activation.bytes
        return compress_uniform(self.positions * self.position_bytes + ends)

    @property
    def is_decode(self) -> bool:
        """Whether no sequence has more than one query, which kernels of decode take."""
        return max_rank(self.tokens) <= max_rank(self.sequences)

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        """By queries a sequence, and by what keys and values are."""
        if self.is_decode:
            of_latents = self.key_values is KeyValues.LATENT
            return ("mla/decode", "attention/decode") if of_latents else ("attention/decode",)
        is_expanded = self.key_values is KeyValues.EXPANDED
        return ("mla/prefill", "attention/prefill") if is_expanded else ("attention/prefill",)

    def sizes(self, setting: Setting) -> Sizes:
        """Heads and widths; queries and sequences are those of the fullest rank."""
        counts = ("queries", float(max_rank(self.tokens))), ("sequences", float(max_rank(self.sequences)))
        heads = ("heads", float(self.heads)), ("kv_heads", float(self.kv_heads))
        return (*counts, *heads, ("width", float(self.key + self.value)))

    @lazy
    def inputs(self) -> dict[str, Load]:
        """Pairs."""
        return {"pairs": compress_uniform(self.pairs)}
