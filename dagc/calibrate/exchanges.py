"""Collectives in a table of measurements: their formulas with what each coefficient may be, and their columns.

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

from collections.abc import Mapping
from functools import partial

import numpy as np

from dagc.calibrate.operators import Arithmetic, Columns, Operator
from dagc.ops.all_reduce import all_reduce, custom_all_reduce
from dagc.ops.formula import Coefficient, Coefficients, Formula, Inputs, Machine, Terms, Values
from dagc.ops.message import message
from dagc.ops.network import GroupSpread, TransferFormula, Wires
from dagc.ops.ring import gather
from dagc.ops.token_exchange import TokenFormula, Tokens, all_to_all, low_latency, normal

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


def _formula(name: str, parameters: tuple[Coefficient, ...], exchange: TransferFormula) -> Formula:
    return Formula(name, parameters, _RANGED, partial(_plain, exchange))


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

EXCHANGES: Mapping[str, Operator] = {
    name: Operator(formula, regime, _ALL, _inputs, defaults, by_type=False, inside_a_node=name == "all_reduce_custom")
    for name, (regime, formula, defaults) in _FORMULAS.items()
}
"""By the name in the column `operator`."""
