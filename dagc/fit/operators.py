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
- `indexer`: sequences, queries, context, heads, `key` their width, `key_bytes` (132) of a position; dtype fp8. Causal.
- `recurrence`: `states` bytes of all sequences' states, read and written; `tokens` bytes that tokens bring and take.
- `elementwise`, `activation`, `norm`, `rotary`, `sampling`: `bytes` read and written.

Types: bf16 and fp16; fp8 with one scale a tensor or row, fp8_block with one a block of 128; int8; int4 weights with
bf16 arithmetic; fp4 in blocks.

Collectives in a table of measurements: their formulas with what each coefficient may be, and their columns.

- `all_reduce`, `all_gather`, `reduce_scatter`, `all_to_all`, `send`: by NCCL. Columns ranks, bytes and `nodes` (1),
  over which the ranks are spread evenly; `send` is a message inside a node, or with nodes 2 to another.
- `all_reduce_custom`: the engine's own kernel in one node. Columns ranks, bytes.
- `dispatch`, `combine`: normal kernels like DeepEP's. Columns ranks, nodes, bytes of all rows of a rank (tokens x
  choices x bytes of a row), `top` (8) choices of a token, `reached` nodes that they lie on at most (no limit), `sms`
  (20) multiprocessors.
- `dispatch_low_latency`, `combine_low_latency`: kernels of low latency; the same without `sms`.

Bytes are those of nccl-tests: of an all-gather the whole result, of a reduce-scatter the whole input, of an all-to-all
what one rank sends. Where a table has one node only, coefficients of the network keep the values they start from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dagc.catalog.dtype import Dtype
from dagc.ops.all_reduce import all_reduce, custom_all_reduce
from dagc.ops.attention_core import DECODE, PREFILL, SPLIT_DECODE
from dagc.ops.elementwise import STREAMED
from dagc.ops.formula import Coefficient, Coefficients, Formula, Inputs, Machine, Terms, Values
from dagc.ops.gemm import GEMM
from dagc.ops.grouped_gemm import GROUPED, LAYER, LAYER_DEFAULT
from dagc.ops.message import message
from dagc.ops.network import GroupSpread, TransferFormula, Wires
from dagc.ops.recurrence import RECURRENT
from dagc.ops.ring import gather
from dagc.ops.token_exchange import TokenFormula, Tokens, all_to_all, low_latency, normal


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
class FittedOperator:
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


def _scores(x: Columns, _: Arithmetic) -> Inputs:
    """The queries of a sequence are its last positions."""
    each = x["queries"] / x["sequences"]
    pairs = x["queries"] * (x["context"] - (each - 1) / 2)
    moved = x["sequences"] * x["context"] * x["key_bytes"] + x["queries"] * x["heads"] * x["key"]
    return {**x, "pairs": pairs, "width": x["key"], "bytes": moved}


def _stream(x: Columns, _: Arithmetic) -> Inputs:
    return {**x, "flops": np.zeros_like(x["bytes"])}


def _as_written(x: Columns, _: Arithmetic) -> Inputs:
    return x


_LAYER = ("tokens", "top", "rows", "n", "k", "products")
_CORE = ("sequences", "context", "heads", "kv_heads", "key", "value")
_CACHE = {"kv_bytes": 2.0}
_KEYS = ("sequences", "queries", "context", "heads", "key")

OPERATORS: Mapping[str, FittedOperator] = {
    "gemm": FittedOperator(GEMM, "gemm", ("m", "n", "k"), _product, {"products": 1.0, "cast": 1.0}),
    "grouped_gemm": FittedOperator(GROUPED, "grouped_gemm", ("rows", "n", "k", "products"), _grouped),
    "expert_layer": FittedOperator(LAYER, "grouped_gemm", _LAYER, _layer),
    "expert_layer_default": FittedOperator(LAYER_DEFAULT, "grouped_gemm", _LAYER, _layer, suffix="/default"),
    "attention_prefill": FittedOperator(PREFILL, "attention/prefill", _CORE, _prefill, _CACHE, by_type=False),
    "attention_decode": FittedOperator(SPLIT_DECODE, "attention/decode", _CORE, _decode, _CACHE, by_type=False),
    "mla_prefill": FittedOperator(PREFILL, "mla/prefill", _CORE, _prefill, _CACHE, by_type=False),
    "mla_decode": FittedOperator(DECODE, "mla/decode", _CORE, _latent, _CACHE, by_type=False),
    "indexer": FittedOperator(
        PREFILL,
        "indexer",
        ("sequences", "queries", "context", "heads", "key"),
        _scores,
        {"key_bytes": 132.0},
        by_type=False,
    ),
    "recurrence": FittedOperator(RECURRENT, "recurrence", ("states", "tokens"), _as_written, by_type=False),
    "elementwise": FittedOperator(STREAMED, "elementwise", ("bytes",), _stream, by_type=False),
    "activation": FittedOperator(STREAMED, "activation", ("bytes",), _stream, by_type=False),
    "norm": FittedOperator(STREAMED, "norm", ("bytes",), _stream, by_type=False),
    "rotary": FittedOperator(STREAMED, "rotary", ("bytes",), _stream, by_type=False),
    "sampling": FittedOperator(STREAMED, "sampling", ("bytes",), _stream, by_type=False),
}
"""By the name in the column `operator`. Rows of `expert_layer` take the place of those of `grouped_gemm`."""


_RANGED = ("ranks", "nodes", "bytes")

_LAUNCH = Coefficient("launch", 5e-6, 5e-7, 1e-3, "seconds before anything moves")
_STEP = Coefficient("step", 8e-7, 1e-8, 1e-4, "seconds a step inside a node")
_HOP = Coefficient("hop", 5e-6, 5e-7, 1e-3, "seconds a step that crosses nodes")
_SHARE = Coefficient("share", 0.8, 0.05, 1.0, "part of the link's stated rate that is reached")
_NETWORK = Coefficient("network_share", 0.95, 0.05, 1.0, "part of the network's stated rate that is reached")
_OWN = Coefficient("own", 2.0, 0.2, 20.0, "rate of copying one's own part, in link rates")
_RAMP = Coefficient("ramp", 2e-6, 1e-9, 1e-4, "seconds of a chunk beyond its bytes")
_RING = (_LAUNCH, _STEP, _HOP, _SHARE, _NETWORK, _OWN, _RAMP)
_NVLS = (
    Coefficient("nvls_launch", 1.5e-5, 5e-7, 1e-3, "seconds before the switch's reduction moves anything"),
    Coefficient("nvls_share", 0.7, 0.05, 1.0, "part of the link's rate that the switch's reduction reaches"),
    Coefficient("nvls_ramp", 8e-6, 1e-9, 1e-4, "seconds of a chunk of it beyond its bytes"),
)
_CUSTOM = (
    Coefficient("launch", 4e-6, 5e-7, 1e-3, "seconds of one shot before anything moves"),
    Coefficient("launch_two", 8e-6, 5e-7, 1e-3, "seconds of two shots before anything moves"),
    Coefficient("step", 1e-7, 1e-9, 1e-5, "seconds a peer"),
    _SHARE,
    Coefficient("share_two", 0.6, 0.05, 1.0, "part of the link's rate that two shots reach"),
)
_KERNELS = (_LAUNCH, _HOP, _SHARE, _NETWORK)
_COPIES = (
    Coefficient("sm_rate", 1.5e10, 1e9, 2e11, "bytes/s that a multiprocessor copies between nodes"),
    Coefficient("sm_rate_inside", 1.9e10, 1e9, 2e11, "bytes/s that a multiprocessor copies inside a node"),
)


def _wires(machine: Machine) -> Wires:
    return Wires(machine.link_bytes_per_second, machine.network_bytes_per_second)


def _spread(x: Inputs) -> GroupSpread:
    return GroupSpread(x["ranks"], x["ranks"] / x["nodes"], x["nodes"])


def _plain(formula: TransferFormula, given: Coefficients, x: Inputs, machine: Machine) -> Terms:
    return _only(formula(given, x["bytes"], _spread(x), _wires(machine)).seconds)


def _custom(given: Coefficients, x: Inputs, machine: Machine) -> Terms:
    return _plain(custom_all_reduce, {**given, "most": float(np.max(x["bytes"]))}, x, machine)


def _kernel(formula: TokenFormula, given: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Choices and multiprocessors differ by row, and both are numbers to the formula: once for each pair of them."""
    seconds = np.empty_like(x["bytes"])
    even = np.ones(1)
    for top, sms in {(int(t), float(s)) for t, s in zip(x["top"], x["sms"], strict=True)}:
        rows = (x["top"] == top) & (x["sms"] == sms)
        y = {name: values[rows] for name, values in x.items()}
        tokens = Tokens(y["bytes"], top, y["reached"], even, even)
        seconds[rows] = formula({**given, "sms": sms}, tokens, _spread(y), _wires(machine)).seconds
    return _only(seconds)


def _only(seconds: Values) -> Terms:
    return Terms(0.0, seconds, np.zeros_like(seconds), 2.0)


def _inputs(x: Columns, _: Arithmetic) -> Inputs:
    return x


def _formula(name: str, parameters: tuple[Coefficient, ...], collective: TransferFormula) -> Formula:
    return Formula(name, parameters, _RANGED, partial(_plain, collective))


_NODES = {"nodes": 1.0}
_TOKENS = {"nodes": 1.0, "top": 8.0, "reached": 1e9, "sms": 20.0}
_ALL = ("ranks", "bytes")
_GATHER = _formula("ring", _RING, gather)
_LOW_LATENCY = Formula("low latency", _KERNELS, _RANGED, partial(_kernel, low_latency))
_NORMAL = Formula("normal", (*_KERNELS, *_COPIES), _RANGED, partial(_kernel, normal))

_FORMULAS: Mapping[str, tuple[str, Formula, Mapping[str, float]]] = {
    "all_reduce": ("all_reduce/nccl", _formula("all-reduce", (*_RING, *_NVLS), all_reduce), _NODES),
    "all_reduce_custom": ("all_reduce/custom", Formula("custom all-reduce", _CUSTOM, _RANGED, _custom), _NODES),
    "all_gather": ("all_gather/nccl", _GATHER, _NODES),
    "reduce_scatter": ("reduce_scatter/nccl", _GATHER, _NODES),
    "all_to_all": ("all_to_all/nccl", _formula("all-to-all", _RING, all_to_all), _NODES),
    "send": ("send/nccl", _formula("message", (_STEP, _HOP, _SHARE, _NETWORK, _RAMP), message), _NODES),
    "dispatch": ("dispatch/normal", _NORMAL, _TOKENS),
    "combine": ("combine/normal", _NORMAL, _TOKENS),
    "dispatch_low_latency": ("dispatch/low_latency", _LOW_LATENCY, _TOKENS),
    "combine_low_latency": ("combine/low_latency", _LOW_LATENCY, _TOKENS),
}

EXCHANGES: Mapping[str, FittedOperator] = {
    name: FittedOperator(
        formula, regime, _ALL, _inputs, defaults, by_type=False, inside_a_node=name == "all_reduce_custom"
    )
    for name, (regime, formula, defaults) in _FORMULAS.items()
}
"""By the name in the column `operator`."""


KNOWN: Mapping[str, FittedOperator] = {**OPERATORS, **EXCHANGES}
"""By the name in the column `operator`."""
