"""Duration of a computation: a formula fitted to measurements where the device has one, else the roofline.

With a calibration, a node's kind, type and shape choose a regime of it (`dagc.cost.inputs`), whose formula
(`dagc.cost.formulas`) gives seconds by rank. Without one, or where it has no regime for the node:

    slowdown · max(flops / (peak[dtype] · compute efficiency), bytes / (bandwidth · memory efficiency))

with one flat, documented achieved share of each datasheet peak. Source of the roofline: Williams, Waterman, Patterson,
"Roofline: an insightful visual performance model" (2009). `slowdown` is 1 but on ranks that the plan slows: by 10 %
means that everything they compute takes 1.1 times as long. Kernels are launched from a CUDA graph: a launch costs what
it costs there. Where the device states a `launch`, the host launches them one by one so far apart, and nothing is
shorter; that is exact where the host never gets ahead, and too long where long kernels let it. Not modelled: contention
between lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Regime
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.duration import node_cost, rate_text
from dagc.cost.formula import Machine, Terms
from dagc.cost.formulas import NODE_FORMULAS
from dagc.cost.inputs import Question, Setting, question
from dagc.graph.graph import Load, Node
from dagc.graph.priced import Bound, NodeCost
from dagc.units import format_bytes, format_rate, format_seconds

Seconds = npt.NDArray[np.float64]

_STATED: Load = np.ones(1)
"""No rank slowed."""

_PROCESSORS = 128
"""Multiprocessors of a device that states none."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device achieves on one operator: FLOP/s and bytes/s. `note` says what stood in for a missing peak."""

    flops_per_second: float
    bytes_per_second: float
    note: str = ""


def achieved(device: DeviceSpec, node: Node, activation: Dtype) -> Rates:
    """Rates of a device on an operator. A type without a peak is computed as the activation type, and noted.

    An unknown figure limits nothing; `plan.missing` names those beforehand.
    """
    peak, note = device.flops.get(node.dtype), ""
    if peak is None:
        peak, note = device.flops.get(activation, inf), f" ({device.name} has no {node.dtype} peak: {activation})"
    bandwidth = device.bandwidth_bytes_per_second or inf
    return Rates(peak * device.compute_efficiency, bandwidth * device.memory_efficiency, note)


def operator_cost(
    node: Node, device: DeviceSpec, activation: Dtype, slowdown: Load = _STATED, engine: str | None = None
) -> NodeCost:
    """Cost of a computation or routing node by rank (and copy); bound and formula are those of the slowest.

    `slowdown` has shape (1,) or (width,). `engine` is the name of the engine, if the plan has one.
    """
    rates = achieved(device, node, activation)
    if device.calibration is not None and (asked := question(node, Setting(device, activation, engine))):
        regime = device.calibration.regime(*asked.regimes)
        if regime is not None and is_complete(regime):
            return _measured(asked, regime, device, rates, slowdown)
    return _roofline(node, device, rates, slowdown)


def is_complete(regime: Regime) -> bool:
    """Whether its formula is known and has all its coefficients: a file of a user may have been written elsewhere."""
    formula = NODE_FORMULAS.get(regime.formula)
    return formula is not None and all(p.name in regime.coefficients for p in formula.parameters)


def _roofline(node: Node, device: DeviceSpec, rates: Rates, slowdown: Load) -> NodeCost:
    arithmetic: Seconds = node.flops / rates.flops_per_second
    memory: Seconds = node.memory_bytes / rates.bytes_per_second
    seconds = _launched(np.maximum(arithmetic, memory) * slowdown, device)
    slowest = int(seconds.argmax())
    flops, moved = _of(node.flops, slowest, seconds), _of(node.memory_bytes, slowest, seconds)
    by_arithmetic = flops / rates.flops_per_second >= moved / rates.bytes_per_second
    bound = Bound.NONE if seconds.flat[slowest] == 0 else Bound.COMPUTE if by_arithmetic else Bound.MEMORY
    wording = partial(_formula, flops, moved, rates, _of(slowdown, slowest, seconds))
    return node_cost(seconds, bound, wording, f"roofline, {device.name}: {device.source}")


def _measured(asked: Question, regime: Regime, device: DeviceSpec, rates: Rates, slowdown: Load) -> NodeCost:
    """The cost that a calibration gives. Its formulas are of peaks; streams take arithmetic at the achieved rate."""
    formula = NODE_FORMULAS[regime.formula]
    peak = rates.flops_per_second / (1.0 if formula.name == "stream" else device.compute_efficiency)
    bandwidth = rates.bytes_per_second / device.memory_efficiency
    terms = formula.terms(regime.coefficients, asked.inputs, Machine(peak, bandwidth, device.processors or _PROCESSORS))
    seconds = _launched(terms.seconds * slowdown, device)
    slowest = int(seconds.argmax())
    slowed = _of(slowdown, slowest, seconds)
    inputs = {name: _of(asked.inputs[name], slowest, seconds) for name in formula.ranged}
    outside = regime.outside(inputs)
    wording = partial(_worded, regime.formula, inputs, terms, slowest, (seconds, slowed), rates.note)
    origin = f"derived: {regime.derived}" if regime.derived else f"fitted: {regime.source}"
    past = f", extrapolated in {' and '.join(outside)}" if outside else ""
    name = next(name for name in asked.regimes if device.calibration and name in device.calibration.regimes)
    return node_cost(
        seconds, _bound(terms, slowest, seconds), wording, f"{name} of {device.name}, {origin}{past}",
        regime.residuals.median, bool(outside),
    )  # fmt: skip


def _launched(seconds: Seconds, device: DeviceSpec) -> Seconds:
    """At least the time between two launches, where there is work at all."""
    apart = device.launch_seconds
    return np.where(seconds > 0, np.maximum(seconds, apart), 0.0) if apart else seconds


def _bound(terms: Terms, slowest: int, seconds: Seconds) -> Bound:
    """What the operator would be bound by without its launch, which the formula shows."""
    if seconds.flat[slowest] == 0:
        return Bound.NONE
    compute, memory = _of(terms.compute, slowest, seconds), _of(terms.memory, slowest, seconds)
    return Bound.COMPUTE if compute >= memory else Bound.MEMORY


def _worded(
    formula: str, inputs: dict[str, float], terms: Terms, slowest: int, ends: tuple[Seconds, float], note: str
) -> str:
    seconds, slowed = ends
    compute, memory = _of(terms.compute, slowest, seconds), _of(terms.memory, slowest, seconds)
    serial = _of(np.atleast_1d(terms.serial), slowest, seconds)
    shape = ", ".join(f"{name} {value:.6g}" for name, value in inputs.items())
    blend = f"({format_seconds(compute)} ^ p + {format_seconds(memory)} ^ p) ^ 1/p, p {terms.power:.3g}"
    factor = "" if slowed == 1 else f"{slowed:g} · "
    extra = f" + {format_seconds(serial)} of casts or sequences" if serial else ""
    return f"{factor}({formula} of {shape}: launch {format_seconds(terms.launch)} + {blend}{extra}){note}"


def _formula(flops: float, moved: float, rates: Rates, slowdown: float) -> str:
    arithmetic = f"{format_rate(flops, 'flop/s').removesuffix('/s')} / {rate_text(rates.flops_per_second, 'flop/s')}"
    memory = f"{format_bytes(moved)} / {rate_text(rates.bytes_per_second, 'bytes/s')}"
    slowed = "" if slowdown == 1 else f"{slowdown:g} · "
    return f"{slowed}max({arithmetic}, {memory}){rates.note}"


def _of(values: Load, index: int, whole: Load) -> float:
    """The element of `values` that stands at a flat index of what it was broadcast to."""
    if values.size == 1:
        return float(values.flat[0])
    return float(np.broadcast_to(values, whole.shape).flat[index])
