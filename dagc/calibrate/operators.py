"""What `dagc fit` reads: operators by name, their columns, and how a row becomes the inputs of a formula.

A file has one row a measurement, columns in any order: `operator`, `dtype`, `seconds`, `source` (optional) and those of
the operator. Counts are of one call on one GPU.

- `gemm`: m, n, k. `products` (1) of them in one call; `cast` 0 where the time leaves out bringing inputs to the type.
- `grouped_gemm`: rows over all experts, n, k, `products` experts that have rows.
- `expert_layer`: tokens, top, rows, n model width, k inner width, `products`: up with its gate, activation, down and
  weighted sum; `expert_layer_default` the same where a Triton kernel had no configuration for its shape.
- `attention_prefill`, `mla_prefill`: sequences, context (their length), heads, kv_heads, key, value, `kv_bytes` (2) an
  element of the cache. Causal.
- `attention_decode`, `mla_decode`: the same, of one new token a sequence. `mla_decode` is latent: kv_heads 1, and its
  value is a part of its key.
- `recurrence`: `states` bytes of all sequences' states, read and written; `tokens` bytes that tokens bring and take.
- `elementwise`, `activation`, `norm`, `sampling`: `bytes` read and written.

Types: bf16 and fp16; fp8 with one scale a tensor or row, fp8_block with one a block of 128; int8; int4 weights with
bf16 arithmetic; fp4 in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from dagc.catalog.dtype import Dtype
from dagc.ops.attention_core import DECODE, PREFILL
from dagc.ops.elementwise import STREAMED
from dagc.ops.formula import Formula, Inputs, Values
from dagc.ops.gemm import GEMM
from dagc.ops.grouped_gemm import GROUPED, LAYER, LAYER_DEFAULT
from dagc.ops.recurrence import RECURRENT


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A way to compute: the type whose peak holds, bytes of a weight and of an input, whether inputs are cast."""

    peak: Dtype
    weight_bytes: float
    value_bytes: float
    casts: bool


ARITHMETIC: Mapping[str, Arithmetic] = {
    "bf16": Arithmetic(Dtype.BF16, 2, 2, False),
    "fp16": Arithmetic(Dtype.FP16, 2, 2, False),
    "fp8": Arithmetic(Dtype.FP8, 1, 1, True),
    "fp8_block": Arithmetic(Dtype.FP8, 1 + 4 / 128**2, 1 + 4 / 128, True),
    "int8": Arithmetic(Dtype.INT8, 1, 1, True),
    "int4": Arithmetic(Dtype.BF16, 0.5 + 2 / 128, 2, False),
    "fp4": Arithmetic(Dtype.FP4, 0.5 + 1 / 16, 0.5 + 1 / 16, True),
}

Columns = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of a table: its formula, the family of its regimes, columns it needs, and defaults of others."""

    formula: Formula
    family: str
    needed: tuple[str, ...]
    inputs: Callable[[Columns, Arithmetic], Inputs]
    defaults: Mapping[str, float] = field(default_factory=dict[str, float])
    by_type: bool = True
    suffix: str = ""
    inside_a_node: bool = False

    def regime(self, dtype: str) -> str:
        """Name of the regime that its rows of a type fit."""
        return f"{self.family}/{dtype}{self.suffix}" if self.by_type else self.family


def _product(x: Columns, how: Arithmetic) -> Inputs:
    weights = how.weight_bytes * x["n"] * x["k"]
    moved = x["products"] * (weights + x["m"] * (how.value_bytes * x["k"] + 2 * x["n"]))
    cast = x["products"] * x["k"] * x["cast"] * how.casts
    return {**x, "bytes": moved, "cast": cast}


def _grouped(x: Columns, how: Arithmetic) -> Inputs:
    return _product({**x, "m": x["rows"] / x["products"], "cast": np.zeros_like(x["rows"])}, how)


def _layer(x: Columns, how: Arithmetic) -> Inputs:
    same = np.ones_like(x["rows"])
    kept = {"weight_bytes": same * how.weight_bytes, "value_bytes": same * how.value_bytes}
    return {**x, **kept, "cast": same * how.casts}


def _prefill(x: Columns, _: Arithmetic) -> Inputs:
    queries, width = x["sequences"] * x["context"], x["key"] + x["value"]
    pairs = x["sequences"] * x["context"] * (x["context"] + 1) / 2
    moved = queries * width * (x["kv_heads"] * x["kv_bytes"] + 2 * x["heads"])
    return {**x, "queries": queries, "pairs": pairs, "width": width, "bytes": moved}


def _decode(x: Columns, _: Arithmetic) -> Inputs:
    pairs, width = x["sequences"] * x["context"], x["key"] + x["value"]
    ends = x["sequences"] * x["heads"] * width * 2
    return {**x, "pairs": pairs, "width": width, "bytes": pairs * x["kv_heads"] * width * x["kv_bytes"] + ends}


def _latent(x: Columns, how: Arithmetic) -> Inputs:
    whole = _decode(x, how)
    return {**whole, "bytes": whole["bytes"] - whole["pairs"] * x["value"] * x["kv_bytes"]}


def _stream(x: Columns, _: Arithmetic) -> Inputs:
    return {**x, "flops": np.zeros_like(x["bytes"])}


def _as_written(x: Columns, _: Arithmetic) -> Inputs:
    return x


_LAYER = ("tokens", "top", "rows", "n", "k", "products")
_CORE = ("sequences", "context", "heads", "kv_heads", "key", "value")
_CACHE = {"kv_bytes": 2.0}

OPERATORS: Mapping[str, Operator] = {
    "gemm": Operator(GEMM, "gemm", ("m", "n", "k"), _product, {"products": 1.0, "cast": 1.0}),
    "grouped_gemm": Operator(GROUPED, "grouped_gemm", ("rows", "n", "k", "products"), _grouped),
    "expert_layer": Operator(LAYER, "grouped_gemm", _LAYER, _layer),
    "expert_layer_default": Operator(LAYER_DEFAULT, "grouped_gemm", _LAYER, _layer, suffix="/default"),
    "attention_prefill": Operator(PREFILL, "attention/prefill", _CORE, _prefill, _CACHE, by_type=False),
    "attention_decode": Operator(DECODE, "attention/decode", _CORE, _decode, _CACHE, by_type=False),
    "mla_prefill": Operator(PREFILL, "mla/prefill", _CORE, _prefill, _CACHE, by_type=False),
    "mla_decode": Operator(DECODE, "mla/decode", _CORE, _latent, _CACHE, by_type=False),
    "recurrence": Operator(RECURRENT, "recurrence", ("states", "tokens"), _as_written, by_type=False),
    "elementwise": Operator(STREAMED, "elementwise", ("bytes",), _stream, by_type=False),
    "activation": Operator(STREAMED, "activation", ("bytes",), _stream, by_type=False),
    "norm": Operator(STREAMED, "norm", ("bytes",), _stream, by_type=False),
    "sampling": Operator(STREAMED, "sampling", ("bytes",), _stream, by_type=False),
}
"""By the name in the column `operator`. Rows of `expert_layer` take the place of those of `grouped_gemm`."""
