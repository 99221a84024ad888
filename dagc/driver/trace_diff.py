"""A trace of an engine is compared with a plan: layers are found, kernels matched, differences summed by operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.driver.outcome import Checked
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.ops.communication import Communication
from dagc.plan.deployment import Phase
from dagc.profile.align import Alignment, LayerOperator, aligned
from dagc.profile.kernel_names import kinds_of
from dagc.profile.layers import TraceLayers, layers_of
from dagc.profile.trace import MOST_TRACE_BYTES, KernelTrace, read_kernels
from dagc.results.trace_diff import LoneKernel, LoneOperator, OperatorDifference, TraceDiff

__all__ = ["MOST_TRACE_BYTES", "read_kernels", "trace_diff"]

NO_LAYERS = Code("X424", "no-layers-in-trace")

_MOST_UNIT = 8
"""Unlike layers in a row that are looked for in a trace."""


def trace_diff(checked: Checked, phase: Phase, trace: KernelTrace, name: str) -> TraceDiff | Diagnostic:
    """The differences between a trace and the layers of a phase."""
    timelines = checked.priced.timelines or ()
    priced = next((one.priced for one in timelines if one.priced.graph.phase is phase), None)
    unit = _unit(priced) if priced else None
    if priced is None or unit is None:
        span = checked.plan.deployment.strategy.span
        message = f"`{checked.plan.name}` has no layers with times in {phase}"
        return NO_LAYERS.at(span, message, help=("state the shapes and rates that it lacks",))
    operators = list(_operators(priced, unit))
    work = {node.key: node.op.work.value for template in unit for node in priced.graph.templates[template].nodes}
    found = [(layers, aligned(operators, layers)) for layers in _candidates(trace, len(unit))]
    if not found:
        message = f"nothing repeats among the {len(trace):,} kernels of `{name}`"
        return NO_LAYERS.at(None, message, help=("profile a whole step, so that layers follow each other",))
    layers, best = min(found, key=lambda one: one[1].cost)
    if not best.matches:
        message = f"no kernel of a layer of `{name}` is an operator of `{checked.plan.name}`"
        return NO_LAYERS.at(None, message, help=(f"is the trace of {phase}? `--phase` names another one",))
    keys = [priced.graph.templates[one].key for one in dict.fromkeys(unit)]
    return _record(checked, phase, " + ".join(keys), len(unit), layers, best, work)


def _candidates(trace: KernelTrace, unit: int) -> Iterator[TraceLayers]:
    """Mean layers of a trace: its names may repeat with each layer, or with each that is like it."""
    for many in dict.fromkeys((1, unit)):
        layers = layers_of(trace, many)
        if layers:
            yield layers


def _unit(priced: PricedPhase) -> tuple[int, ...] | None:
    """The shortest row of templates that the last layers repeat."""
    layers = [
        segment.template
        for size, _, _, segment in priced.graph.segments()
        if size == 0 and segment.first_layer is not None
        for _ in range(segment.count)
    ]
    if not layers:
        return None
    rows = (layers[-many:] for many in range(1, _MOST_UNIT + 1) if layers[-many:] == layers[-2 * many : -many])
    return tuple(next(rows, layers[-1:]))


def _operators(priced: PricedPhase, unit: Sequence[int]) -> Iterator[LayerOperator]:
    """Operators of the layers that take time, on the slowest rank in the mean of the copies."""
    for number, template in enumerate(unit):
        suffix = "" if len(unit) == 1 else f"#{number}"
        nodes = zip(priced.graph.templates[template].nodes, priced.costs[template], strict=True)
        for node, cost in nodes:
            if node.fused_into is None and cost.longest:
                duration = cost.duration if cost.duration.ndim > 1 else cost.duration[None, :]
                seconds = float(duration.max(axis=1).mean()) / PICOSECONDS
                is_exchange = isinstance(node.op, Communication)
                yield LayerOperator(f"{node.key}{suffix}", kinds_of(node.op.name), seconds, is_exchange)


def _record(
    checked: Checked, phase: Phase, layer: str, unit: int, layers: TraceLayers, found: Alignment, work: dict[str, str]
) -> TraceDiff:
    lone: dict[str, list[float]] = {}
    for kernel in found.kernels:
        lone.setdefault(kernel.name, []).append(kernel.seconds * kernel.often)
    kinds = {kernel.name: kernel.kind for kernel in found.kernels}
    sizes = sum(abs(one.measured - one.predicted) for one in found.matches)
    sizes += sum(map(sum, lone.values())) + sum(one.seconds for one in found.operators)
    operators = [
        OperatorDifference(
            key=" + ".join(one.key for one in match.operators),
            work=work[match.operators[0].key.partition("#")[0]],
            predicted_seconds=match.predicted,
            measured_seconds=match.measured,
            difference_seconds=match.measured - match.predicted,
            share=abs(match.measured - match.predicted) / sizes if sizes else 0.0,
            kernels=list(dict.fromkeys(one.name for one in sorted(match.kernels, key=lambda one: -one.seconds))),
        )
        for match in found.matches
    ]
    kernels = [
        LoneKernel(
            name=name, kind=kinds[name], count=float(len(times)), seconds=sum(times), share=sum(times) / (sizes or 1)
        )
        for name, times in lone.items()
    ]
    totals: dict[str, float] = {}
    for one in operators:
        totals[one.work] = totals.get(one.work, 0.0) + one.difference_seconds
    return TraceDiff(
        plan=checked.plan.name,
        phase=phase.value,
        layer=layer,
        unit=unit,
        layers=layers.layers,
        covered=layers.share,
        predicted_seconds=sum(one.predicted for one in found.matches) + sum(one.seconds for one in found.operators),
        measured_seconds=sum(one.seconds * one.often for one in layers.kernels),
        operators=sorted(operators, key=lambda one: -abs(one.difference_seconds)),
        work=dict(sorted(totals.items(), key=lambda one: -abs(one[1]))),
        lone_kernels=sorted(kernels, key=lambda one: -one.seconds),
        lone_operators=[
            LoneOperator(key=one.key, predicted_seconds=one.seconds, share=one.seconds / (sizes or 1))
            for one in found.operators
        ],
    )
