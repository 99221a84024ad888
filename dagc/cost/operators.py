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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Regime
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.duration import rate_text
from dagc.cost.formula import Coefficients, Formula, Inputs, Machine, Terms
from dagc.cost.formulas import NODE_FORMULAS
from dagc.cost.inputs import Setting, Work, question
from dagc.cost.rows import Places, Rows, columns_of, rows_of
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


def achieved(device: DeviceSpec, dtype: Dtype, activation: Dtype) -> Rates:
    """Rates of a device on a type of arithmetic. One without a peak is computed as the activation type, and noted.

    An unknown figure limits nothing; `plan.missing` names those beforehand.
    """
    peak, note = device.flops.get(dtype), ""
    if peak is None:
        peak, note = device.flops.get(activation, inf), f" ({device.name} has no {dtype} peak: {activation})"
    bandwidth = device.bandwidth_bytes_per_second or inf
    return Rates(peak * device.compute_efficiency, bandwidth * device.memory_efficiency, note)


def operator_cost(
    node: Node, device: DeviceSpec, activation: Dtype, slowdown: Load = _STATED, engine: str | None = None
) -> NodeCost:
    """Cost of a computation or routing node by rank (and copy); bound and formula are those of the slowest.

    `slowdown` has shape (1,) or (width,). `engine` is the name of the engine, if the plan has one.
    """
    return operator_costs((node,), Setting(device, activation, engine), slowdown)[0]


def operator_costs(nodes: Sequence[Node], setting: Setting, slowdown: Load = _STATED) -> list[NodeCost]:
    """The same of several nodes on one team, those that ask for the same together."""
    asked = [_asked(node, setting) for node in nodes]
    together: dict[object, list[int]] = {}
    for number, node in enumerate(nodes):
        together.setdefault(_alike(node, asked[number]), []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        some, regimes = [nodes[number] for number in numbers], [one for number in numbers if (one := asked[number])]
        costs = _measured(some, regimes, setting, slowdown) if regimes else _roofline(some, setting, slowdown)
        found.update(zip(numbers, costs, strict=True))
    return [found[number] for number in range(len(nodes))]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A regime of a calibration by its name, and how it is asked."""

    name: str
    regime: Regime
    inputs: Callable[[Work, Setting], Inputs]


def _asked(node: Node, setting: Setting) -> _Asked | None:
    """What is asked of the device's calibration; None where it has nothing for the node."""
    calibration = setting.device.calibration
    asked = question(node, setting) if calibration is not None else None
    if calibration is None or asked is None:
        return None
    name = next((name for name in asked.regimes if name in calibration.regimes), None)
    if name is None or not is_complete(calibration.regimes[name]):
        return None
    return _Asked(name, calibration.regimes[name], asked.inputs)


def _alike(node: Node, asked: _Asked | None) -> object:
    """Equal for nodes that can be asked about together: those of one formula, with shapes of the same names."""
    columns = columns_of(node.flops, node.memory_bytes)
    if asked is None:
        return node.dtype, columns
    formula = NODE_FORMULAS[asked.regime.formula]
    regimes = formula.name if formula.broadcasts else asked.name
    return regimes, asked.inputs, node.dtype, columns, tuple([name for name, _ in node.shape])


def is_complete(regime: Regime) -> bool:
    """Whether its formula is known and has all its coefficients: a file of a user may have been written elsewhere."""
    formula = NODE_FORMULAS.get(regime.formula)
    return formula is not None and all(p.name in regime.coefficients for p in formula.parameters)


def _roofline(nodes: Sequence[Node], setting: Setting, slowdown: Load) -> list[NodeCost]:
    device = setting.device
    rates = achieved(device, nodes[0].dtype, setting.activation)
    rows, work = _work(nodes, ())
    arithmetic: Seconds = work.flops / rates.flops_per_second
    memory: Seconds = work.memory_bytes / rates.bytes_per_second
    seconds = _launched(np.maximum(arithmetic, memory) * slowdown, device)
    slowest = rows.slowest(seconds)
    durations, longest = rows.durations(seconds), slowest.of(seconds)
    flops, moved, slowed = slowest.of(work.flops), slowest.of(work.memory_bytes), slowest.of(slowdown)
    source = f"roofline, {device.name}: {device.source}"
    costs: list[NodeCost] = []
    for i, duration in enumerate(durations):
        by_arithmetic = flops[i] / rates.flops_per_second >= moved[i] / rates.bytes_per_second
        bound = Bound.NONE if longest[i] == 0 else Bound.COMPUTE if by_arithmetic else Bound.MEMORY
        costs.append(NodeCost(duration, bound, partial(_formula, flops[i], moved[i], rates, slowed[i]), source))
    return costs


def _measured(nodes: Sequence[Node], asked: Sequence[_Asked], setting: Setting, slowdown: Load) -> list[NodeCost]:
    """The costs that a calibration gives. Its formulas are of peaks; streams take arithmetic at the achieved rate."""
    device, formula = setting.device, NODE_FORMULAS[asked[0].regime.formula]
    rates = achieved(device, nodes[0].dtype, setting.activation)
    peak = rates.flops_per_second / (1.0 if formula.name == "stream" else device.compute_efficiency)
    bandwidth = rates.bytes_per_second / device.memory_efficiency
    rows, work = _work(nodes, tuple([name for name, _ in nodes[0].shape]))
    inputs, coefficients = asked[0].inputs(work, setting), _coefficients(formula, asked, rows)
    terms = formula.terms(coefficients, inputs, Machine(peak, bandwidth, device.processors or _PROCESSORS))
    seconds = _launched(terms.seconds * slowdown, device)
    slowest = rows.slowest(seconds)
    longest, compute, memory = slowest.of(seconds), slowest.of(terms.compute), slowest.of(terms.memory)
    told = _Told(formula, inputs, terms, slowdown, slowest, rates.note)
    ranged = [(name, slowest.of(inputs[name])) for name in formula.ranged]
    costs: list[NodeCost] = []
    for i, duration in enumerate(rows.durations(seconds)):
        regime = asked[i].regime
        outside = regime.outside({name: values[i] for name, values in ranged})
        bound = Bound.NONE if longest[i] == 0 else Bound.COMPUTE if compute[i] >= memory[i] else Bound.MEMORY
        source = _source(asked[i], device, outside)
        wording = partial(_worded, told, asked[i].regime.formula, i)
        costs.append(NodeCost(duration, bound, wording, source, regime.residuals.median, bool(outside)))
    return costs


def _coefficients(formula: Formula, asked: Sequence[_Asked], rows: Rows) -> Coefficients:
    """Coefficients of the regime of each node."""
    first = asked[0].regime
    if all([one.regime is first for one in asked]):
        return first.coefficients
    names = [parameter.name for parameter in formula.parameters]
    return {name: rows.column([one.regime.coefficients[name] for one in asked]) for name in names}


def _source(asked: _Asked, device: DeviceSpec, outside: tuple[str, ...]) -> str:
    regime = asked.regime
    origin = f"derived: {regime.derived}" if regime.derived else f"fitted: {regime.source}"
    past = f", extrapolated in {' and '.join(outside)}" if outside else ""
    return f"{asked.name} of {device.name}, {origin}{past}"


def _work(nodes: Sequence[Node], names: Sequence[str]) -> tuple[Rows, Work]:
    """Work of nodes with shapes of these names, one below the other."""
    rows = rows_of([(node.flops, node.memory_bytes) for node in nodes])
    flops, moved = rows.figures([node.flops for node in nodes]), rows.figures([node.memory_bytes for node in nodes])
    sizes = {name: rows.column([node.shape[i][1] for node in nodes]) for i, name in enumerate(names)}
    return rows, Work(flops, moved, sizes, nodes[0].dtype)


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
