"""What an amount of work takes on a device: by a formula of its calibration, or by the roofline.

Works of one formula are priced together, one below the other. Each has its row, or one for each copy where copies
differ; columns are ranks, where these differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Regime
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.amounts import Priced
from dagc.cost.duration import rate_text
from dagc.cost.rows import Places, Rows
from dagc.graph.priced import Bound, NodeCost
from dagc.ops.formula import Coefficients, Formula, Inputs, Machine, Terms
from dagc.ops.formulas import COEFFICIENTS, NODE_FORMULAS
from dagc.ops.load import Load
from dagc.ops.op import Computation, Setting, Sizes
from dagc.units import format_bytes, format_rate, format_seconds

Seconds = npt.NDArray[np.float64]

_PROCESSORS = 128
"""Multiprocessors of a device that states none."""

_IDLE = 0.1
"""Share of the datasheet's peak below which arithmetic limits nothing. A product of few rows takes a whole tile's time:
its arithmetic term is long, and the device waits."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device achieves on one operator: FLOP/s and bytes/s. `note` says what stood in for a missing peak."""

    flops_per_second: float
    bytes_per_second: float
    note: str = ""


def achieved(device: DeviceSpec, dtype: Dtype, activation: Dtype) -> Rates:
    """Rates of a device on a type of arithmetic. One without a peak is computed as the activation type, and noted.

    An unknown figure limits nothing; `plan.missing` names those beforehand.
    """
    peak, note = device.flops.get(dtype), ""
    if peak is None:
        peak, note = device.flops.get(activation, inf), f" ({device.name} has no {dtype} peak: {activation})"
    bandwidth = device.bandwidth_bytes_per_second or inf
    return Rates(peak * device.compute_efficiency, bandwidth * device.memory_efficiency, note)


class Kind(NamedTuple):
    """All that the price of an amount of work depends on, beside the device and the plan's setting.

    `regime` is the name of a regime of the device's calibration, None for the roofline; of its formula, `inputs` are
    the names of those by rank beside FLOPs and bytes, and `sizes` those that all ranks share.
    """

    dtype: Dtype
    regime: str | None = None
    inputs: tuple[str, ...] = ()
    sizes: Sizes = ()


def kind_of(op: Computation, setting: Setting) -> Kind:
    """The kind of an operator's work."""
    calibration = setting.device.calibration
    if calibration is None:
        return Kind(op.dtype)
    name = next((name for name in op.regimes(setting) if name in calibration.regimes), None)
    if name is None or not is_complete(calibration.regimes[name]):
        return Kind(op.dtype)
    return Kind(op.dtype, name, tuple(op.inputs), op.sizes(setting))


def loads_of(op: Computation, kind: Kind) -> tuple[Load, ...]:
    """What the price of a kind depends on by rank: FLOPs, bytes, and the inputs of its formula."""
    return (op.flops, op.memory_bytes, *[op.inputs[name] for name in kind.inputs])


def alike(kind: Kind, setting: Setting) -> object:
    """Equal for kinds of work that are priced together: of one formula, with sizes of the same names."""
    calibration = setting.device.calibration
    if calibration is None or kind.regime is None:
        return kind.dtype
    formula = NODE_FORMULAS[calibration.regimes[kind.regime].formula]
    regime = formula.name if formula.broadcasts else kind.regime
    return kind.dtype, regime, kind.inputs, tuple([name for name, _ in kind.sizes])


def priced(kinds: Sequence[Kind], rows: Rows, loads: Sequence[Load], slowdown: Load, setting: Setting) -> list[Priced]:
    """The costs of works of kinds that are alike. `loads` are as in `loads_of`, and by row as the slowdown is."""
    costs = _roofline if kinds[0].regime is None else _measured
    return costs(kinds, rows, loads, slowdown, setting)


def is_complete(regime: Regime) -> bool:
    """Whether its formula is known and has all its coefficients: a file of a user may have been written elsewhere."""
    names = COEFFICIENTS.get(regime.formula)
    return names is not None and regime.coefficients.keys() >= names


def _roofline(
    kinds: Sequence[Kind], rows: Rows, loads: Sequence[Load], slowdown: Load, setting: Setting
) -> list[Priced]:
    device, (flops, moved) = setting.device, loads
    rates = achieved(device, kinds[0].dtype, setting.activation)
    arithmetic: Seconds = flops / rates.flops_per_second
    memory: Seconds = moved / rates.bytes_per_second
    seconds = _launched(np.maximum(arithmetic, memory) * slowdown, device)
    slowest = rows.slowest(seconds)
    longest, work, traffic, slowed = (slowest.of(values) for values in (seconds, flops, moved, slowdown))
    source = f"roofline, {device.name}: {device.source}"
    found: list[Priced] = []
    for i, duration in enumerate(rows.durations(seconds)):
        by_traffic = traffic[i] / rates.bytes_per_second > work[i] / rates.flops_per_second
        bound = _bound(longest[i], by_traffic, longest[i] <= device.launch_seconds)
        wording = partial(_formula, work[i], traffic[i], rates, slowed[i])
        found.append(Priced(NodeCost(duration, bound, wording, source, by_traffic=by_traffic), longest[i]))
    return found


def _measured(
    kinds: Sequence[Kind], rows: Rows, loads: Sequence[Load], slowdown: Load, setting: Setting
) -> list[Priced]:
    """The costs that a calibration gives. Its formulas are of peaks; streams take arithmetic at the achieved rate."""
    device, first, flops = setting.device, kinds[0], loads[0]
    regimes = [device.calibration.regimes[kind.regime] for kind in kinds if device.calibration and kind.regime]
    formula, rates = NODE_FORMULAS[regimes[0].formula], achieved(device, first.dtype, setting.activation)
    peak = rates.flops_per_second / (1.0 if formula.name == "stream" else device.compute_efficiency)
    bandwidth = rates.bytes_per_second / device.memory_efficiency
    machine = Machine(peak, bandwidth, device.processors or _PROCESSORS)
    sizes = {name: rows.column([kind.sizes[i][1] for kind in kinds]) for i, (name, _) in enumerate(first.sizes)}
    inputs: Inputs = dict(zip(("flops", "bytes", *first.inputs), loads, strict=True)) | sizes
    terms = formula.terms(_coefficients(formula, regimes, rows), inputs, machine)
    seconds = _launched(terms.seconds * slowdown, device)
    slowest = rows.slowest(seconds)
    longest, compute, memory = slowest.of(seconds), slowest.of(terms.compute), slowest.of(terms.memory)
    launch, slowed = slowest.of(terms.launch), slowest.of(slowdown)
    useful = slowest.of(flops / machine.flops_per_second)
    told = _Told(formula, inputs, terms, slowdown, slowest, rates.note)
    ranged = [(name, slowest.of(inputs[name])) for name in formula.ranged]
    found: list[Priced] = []
    for i, duration in enumerate(rows.durations(seconds)):
        regime = regimes[i]
        outside = regime.outside({name: values[i] for name, values in ranged})
        by_traffic, alone = memory[i] > compute[i], longest[i] / slowed[i]
        is_short = longest[i] <= device.launch_seconds or alone < 2 * launch[i]
        is_idle = not by_traffic and useful[i] < _IDLE * alone
        bound = _bound(longest[i], by_traffic, is_short or is_idle)
        source = f"{kinds[i].regime} of {device.name}, {_origin(regime, outside)}"
        wording = partial(_worded, told, regime.formula, i)
        cost = NodeCost(duration, bound, wording, source, regime.residuals.median, bool(outside), by_traffic)
        found.append(Priced(cost, longest[i]))
    return found


def _bound(seconds: float, by_traffic: bool, is_latency: bool) -> Bound:
    """What limits an operator: the launch or an idle device before arithmetic or memory."""
    if seconds == 0:
        return Bound.NONE
    return Bound.LATENCY if is_latency else Bound.MEMORY if by_traffic else Bound.COMPUTE


def _coefficients(formula: Formula, regimes: Sequence[Regime], rows: Rows) -> Coefficients:
    """Coefficients of the regime of each work."""
    first = regimes[0]
    if all(regime is first for regime in regimes):
        return first.coefficients
    names = [parameter.name for parameter in formula.parameters]
    return {name: rows.column([regime.coefficients[name] for regime in regimes]) for name in names}


def _origin(regime: Regime, outside: tuple[str, ...]) -> str:
    origin = f"derived: {regime.derived}" if regime.derived else f"fitted: {regime.source}"
    return f"{origin}, extrapolated in {' and '.join(outside)}" if outside else origin


def _launched(seconds: Seconds, device: DeviceSpec) -> Seconds:
    """At least the time between two launches, where there is work at all."""
    apart = device.launch_seconds
    return np.where(seconds > 0, np.maximum(seconds, apart), 0.0) if apart else seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What nodes that were priced together say of it: their inputs and terms, and where each is slowest."""

    formula: Formula
    inputs: Inputs
    terms: Terms
    slowdown: Load
    slowest: Places
    note: str


def _worded(told: _Told, formula: str, number: int) -> str:
    def of(values: Seconds | float) -> float:
        return told.slowest.of(values)[number]

    terms = told.terms
    launch, serial, slowed = of(terms.launch), of(terms.serial), of(told.slowdown)
    shape = ", ".join(f"{name} {of(told.inputs[name]):.6g}" for name in told.formula.ranged)
    blend = f"({format_seconds(of(terms.compute))} ^ p + {format_seconds(of(terms.memory))} ^ p) ^ 1/p"
    factor = "" if slowed == 1 else f"{slowed:g} · "
    extra = f" + {format_seconds(serial)} of casts or sequences" if serial else ""
    return (
        f"{factor}({formula} of {shape}: launch {format_seconds(launch)} + {blend}, p {terms.power:.3g}{extra})"
        f"{told.note}"
    )


def _formula(flops: float, moved: float, rates: Rates, slowdown: float) -> str:
    arithmetic = f"{format_rate(flops, 'flop/s').removesuffix('/s')} / {rate_text(rates.flops_per_second, 'flop/s')}"
    memory = f"{format_bytes(moved)} / {rate_text(rates.bytes_per_second, 'bytes/s')}"
    slowed = "" if slowdown == 1 else f"{slowdown:g} · "
    return f"{slowed}max({arithmetic}, {memory}){rates.note}"
