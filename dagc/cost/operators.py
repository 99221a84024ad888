"""Duration of a computation: a formula fitted to measurements where the device has one, else the roofline.

With a calibration, an operator names the regimes of it that may hold (`Computation.regimes`), and the first that is
there has a formula that gives seconds by rank. Without one, or where it has none of them:

    slowdown · max(flops / (peak[dtype] · compute efficiency), bytes / (bandwidth · memory efficiency))

with one flat, documented achieved share of each datasheet peak. Source of the roofline: Williams, Waterman, Patterson,
"Roofline: an insightful visual performance model" (2009). `slowdown` is 1 but on ranks that the plan slows: by 10 %
means that everything they compute takes 1.1 times as long. Kernels are launched from a CUDA graph: a launch costs what
it costs there. Where the device states a `launch`, the host launches them one by one so far apart, and nothing is
shorter; that is exact where the host never gets ahead, and too long where long kernels let it. Not modelled: contention
between lanes.

Works of one formula are priced together, one below the other. Each has its row, or one for each copy where copies
differ; columns are ranks, where these differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, islice
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Regime
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.amounts import (
    Amount,
    AmountCache,
    AmountRows,
    NodeIndex,
    Partition,
    PricedAmount,
    adjustment,
    amounts_of,
    columns_of,
    cost_by_amount,
    rate_text,
    rows_of,
)
from dagc.graph.priced import Bound, NodeCost, are_alike
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
    """What a device achieves on one operator: FLOP/s and bytes/s. `note` says what replaces a missing peak."""

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


class WorkKey(NamedTuple):
    """All that the price of an amount of work depends on, beside the device and the plan's setting.

    `regime` is the name of a regime of the device's calibration, None for the roofline; of its formula, `inputs` are
    the names of those by rank beside FLOPs and bytes, and `sizes` those that all ranks share.
    """

    dtype: Dtype
    regime: str | None = None
    inputs: tuple[str, ...] = ()
    sizes: Sizes = ()


def kind_of(op: Computation, setting: Setting) -> WorkKey:
    """The kind of an operator's work."""
    calibration = setting.device.calibration
    if calibration is None:
        return WorkKey(op.dtype)
    name = next((name for name in op.regimes(setting) if name in calibration.regimes), None)
    if name is None or not is_complete(calibration.regimes[name]):
        return WorkKey(op.dtype)
    return WorkKey(op.dtype, name, tuple(op.inputs), op.sizes(setting))


def loads_of(op: Computation, kind: WorkKey) -> tuple[Load, ...]:
    """What the price of a kind depends on by rank: FLOPs, bytes, and the inputs of its formula."""
    busiest = op.busiest
    return (busiest.flops, busiest.memory_bytes, *[busiest.inputs[name] for name in kind.inputs])


def alike(kind: WorkKey, setting: Setting) -> object:
    """Equal for kinds of work that are priced together: of one formula, with sizes of the same names."""
    calibration = setting.device.calibration
    if calibration is None or kind.regime is None:
        return kind.dtype
    formula = NODE_FORMULAS[calibration.regimes[kind.regime].formula]
    regime = formula.name if formula.broadcasts else kind.regime
    return kind.dtype, regime, kind.inputs, tuple([name for name, _ in kind.sizes])


def priced(
    kinds: Sequence[WorkKey], rows: AmountRows, loads: Sequence[Load], slowdown: Load, setting: Setting
) -> list[PricedAmount]:
    """The costs of works of kinds that are alike. `loads` are as in `loads_of`, and by row as the slowdown is."""
    costs = _roofline if kinds[0].regime is None else _measured
    return costs(kinds, rows, loads, slowdown, setting)


def is_complete(regime: Regime) -> bool:
    """Whether its formula is known and has all its coefficients: a file of a user may have been written elsewhere."""
    names = COEFFICIENTS.get(regime.formula)
    return names is not None and regime.coefficients.keys() >= names


def _roofline(
    kinds: Sequence[WorkKey], rows: AmountRows, loads: Sequence[Load], slowdown: Load, setting: Setting
) -> list[PricedAmount]:
    device, (flops, moved) = setting.device, loads
    rates = achieved(device, kinds[0].dtype, setting.activation)
    arithmetic: Seconds = flops / rates.flops_per_second
    memory: Seconds = moved / rates.bytes_per_second
    seconds = _launched(np.maximum(arithmetic, memory) * slowdown, device)
    slowest = rows.slowest(seconds)
    longest, work, traffic, slowed = (slowest.of(values) for values in (seconds, flops, moved, slowdown))
    source = f"roofline, {device.name}: {device.source}"
    found: list[PricedAmount] = []
    for i, duration in enumerate(rows.durations(seconds)):
        by_traffic = traffic[i] / rates.bytes_per_second > work[i] / rates.flops_per_second
        bound = _bound(longest[i], by_traffic, longest[i] <= device.launch_seconds)
        wording = partial(_formula, work[i], traffic[i], rates, slowed[i])
        found.append(PricedAmount(NodeCost(duration, bound, wording, source, by_traffic=by_traffic), longest[i]))
    return found


def _measured(
    kinds: Sequence[WorkKey], rows: AmountRows, loads: Sequence[Load], slowdown: Load, setting: Setting
) -> list[PricedAmount]:
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
    batch = _Batch(formula, inputs, terms, slowdown, slowest, rates.note)
    ranged = [(name, slowest.of(inputs[name])) for name in formula.ranged]
    found: list[PricedAmount] = []
    for i, duration in enumerate(rows.durations(seconds)):
        regime = regimes[i]
        outside = regime.outside({name: values[i] for name, values in ranged})
        by_traffic, alone = memory[i] > compute[i], longest[i] / slowed[i]
        is_short = longest[i] <= device.launch_seconds or alone < 2 * launch[i]
        is_idle = not by_traffic and useful[i] < _IDLE * alone
        bound = _bound(longest[i], by_traffic, is_short or is_idle)
        source = f"{kinds[i].regime} of {device.name}, {_origin(regime, outside)}"
        wording = partial(_worded, batch, regime.formula, i)
        cost = NodeCost(duration, bound, wording, source, regime.residuals.median, bool(outside), by_traffic)
        found.append(PricedAmount(cost, longest[i]))
    return found


def _bound(seconds: float, by_traffic: bool, is_latency: bool) -> Bound:
    """What limits an operator: the launch or an idle device before arithmetic or memory."""
    if seconds == 0:
        return Bound.NONE
    return Bound.LATENCY if is_latency else Bound.MEMORY if by_traffic else Bound.COMPUTE


def _coefficients(formula: Formula, regimes: Sequence[Regime], rows: AmountRows) -> Coefficients:
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
class _Batch:
    """Works that were priced together: their inputs and terms, and where each is slowest."""

    formula: Formula
    inputs: Inputs
    terms: Terms
    slowdown: Load
    slowest: NodeIndex
    note: str


def _worded(batch: _Batch, formula: str, number: int) -> str:
    def of(values: Seconds | float) -> float:
        return batch.slowest.of(values)[number]

    terms = batch.terms
    launch, serial, slowed = of(terms.launch), of(terms.serial), of(batch.slowdown)
    shape = ", ".join(f"{name} {of(batch.inputs[name]):.6g}" for name in batch.formula.ranged)
    blend = f"({format_seconds(of(terms.compute))} ^ p + {format_seconds(of(terms.memory))} ^ p) ^ 1/p"
    factor = "" if slowed == 1 else f"{slowed:g} · "
    extra = f" + {format_seconds(serial)} of casts or sequences" if serial else ""
    return (
        f"{factor}({formula} of {shape}: launch {format_seconds(launch)} + {blend}, p {terms.power:.3g}{extra})"
        f"{batch.note}"
    )


def _formula(flops: float, moved: float, rates: Rates, slowdown: float) -> str:
    arithmetic = f"{format_rate(flops, 'flop/s').removesuffix('/s')} / {rate_text(rates.flops_per_second, 'flop/s')}"
    memory = f"{format_bytes(moved)} / {rate_text(rates.bytes_per_second, 'bytes/s')}"
    slowed = "" if slowdown == 1 else f"{slowdown:g} · "
    return f"{slowed}max({arithmetic}, {memory}){rates.note}"


NO_SLOWDOWN: Load = np.ones(1)
"""No rank slowed."""


def operator_costs(
    ops: Sequence[Computation], setting: Setting, known: AmountCache, slowdown: Load = NO_SLOWDOWN
) -> list[NodeCost]:
    """Costs of computations of one team by rank (and copy); bound and formula are those of the slowest.

    `slowdown` has shape (1,) or (width,). Works for which the calibration has a factor take so many times as long.
    """
    calibration = setting.device.calibration
    if calibration is None or calibration.serving is None:
        return _operator_costs(ops, setting, known, slowdown)
    factors = [calibration.factor(op.work.of(op.dtype)) for op in ops]
    found: dict[int, NodeCost] = {}
    for factor in dict.fromkeys(factors):
        some = [number for number, one in enumerate(factors) if one == factor]
        costs = _operator_costs([ops[number] for number in some], setting, known, slowdown * factor)
        found.update(zip(some, costs if factor == 1 else [_adjusted(one, factor) for one in costs], strict=True))
    return [found[number] for number in range(len(ops))]


def _adjusted(cost: NodeCost, factor: float) -> NodeCost:
    return replace(cost, source=f"{cost.source}; {adjustment(factor)}") if cost.longest else cost


def _operator_costs(ops: Sequence[Computation], setting: Setting, known: AmountCache, slowdown: Load) -> list[NodeCost]:
    """Costs of computations which take `slowdown` times as long as formulas say.

    It has shape (1,) or (width,). What a rank takes depends on its own work and on what all ranks share, and
    few ranks differ: each amount of work is priced once. Operators with wide loads, or loads by copy, are priced at
    every rank. None takes longer on a rank than with weights of a wider type.
    """
    ways = [(op, *op.wider(setting)) if setting.device.calibration else (op,) for op in ops]
    costs = iter(_own_costs([*chain.from_iterable(ways)], setting, known, slowdown))
    return [reduce(_faster, islice(costs, len(each))) for each in ways]


def _faster(one: NodeCost, other: NodeCost) -> NodeCost:
    """The shorter of two on each rank, in the words of the one whose slowest rank is."""
    duration = np.minimum(one.duration, other.duration)
    chosen = one if one.longest <= other.longest else other
    return chosen if are_alike(duration, chosen.duration) else replace(chosen, duration=duration)


def _own_costs(ops: Sequence[Computation], setting: Setting, known: AmountCache, slowdown: Load) -> list[NodeCost]:
    """Costs of kernels of the operators' own types."""
    kinds = [kind_of(op, setting) for op in ops]
    loads = [loads_of(op, kind) for op, kind in zip(ops, kinds, strict=True)]
    partitions: list[Partition] = []
    amounts = [amounts_of((slowdown, *each), partitions) for each in loads]
    device = setting.device.content
    found = [known.setdefault((device, kind), {}) for kind in kinds]
    new: dict[tuple[WorkKey, Amount], dict[Amount, PricedAmount]] = {}
    for kind, of, each in zip(kinds, found, amounts, strict=True):
        new.update({(kind, one): of for one in each.each if one not in of} if each else {})
    _learn(new, setting)
    wide = [(kind, load) for kind, load, each in zip(kinds, loads, amounts, strict=True) if not each]
    whole = iter(_at_every_rank(wide, setting, slowdown))
    return [cost_by_amount(each, of) if each else next(whole) for each, of in zip(amounts, found, strict=True)]


def _learn(new: dict[tuple[WorkKey, Amount], dict[Amount, PricedAmount]], setting: Setting) -> None:
    """Price each amount of a kind, and put it where it belongs."""
    together: dict[object, list[tuple[WorkKey, Amount]]] = {}
    for kind, amount in new:
        together.setdefault(alike(kind, setting), []).append((kind, amount))
    for asked in together.values():
        slowed, *loads = np.ascontiguousarray(np.array([amount for _, amount in asked]).T)[:, :, None]
        rows = AmountRows(tuple(range(1, len(asked) + 1)), False)
        costs = priced([kind for kind, _ in asked], rows, loads, slowed, setting)
        for (kind, amount), cost in zip(asked, costs, strict=True):
            new[kind, amount][amount] = cost


def _at_every_rank(
    wide: Sequence[tuple[WorkKey, tuple[Load, ...]]], setting: Setting, slowdown: Load
) -> list[NodeCost]:
    """Costs of works of whose ranks each is priced."""
    together: dict[object, list[int]] = {}
    for number, (kind, loads) in enumerate(wide):
        together.setdefault((alike(kind, setting), columns_of(*loads)), []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        kinds, works = zip(*[wide[number] for number in numbers], strict=True)
        rows = rows_of(works)
        columns = max([load.shape[-1] for loads in works for load in loads])
        figures = [rows.figures(loads, columns) for loads in zip(*works, strict=True)]
        costs = priced(kinds, rows, figures, slowdown, setting)
        found.update({number: one.cost for number, one in zip(numbers, costs, strict=True)})
    return [found[number] for number in range(len(wide))]
