"""Figures that the strategy and the stated facts decide alone: exact, and free of any cost model.

Turns a plan into the right value of a structural metric (`gpus`, `experts_per_gpu`, `weights` ...) with its arithmetic
in words. A fact that was not stated leaves the value undetermined and is named.

A claim of `compute_reduction` says that sparse experts save arithmetic in the whole model. Visiting k of E experts
divides the experts' arithmetic by E / k. Attention, dense layers and shared experts are computed in full all the same,
so that the whole model's reduction is below E / k; with shapes it is the matrix weights of the model with every expert
active over those that a token passes. Scores over the context would lower it further.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from dagc import metrics as of
from dagc.catalog.device import DeviceSpec
from dagc.catalog.model import ModelShapes, ModelSpec
from dagc.catalog.parameters import ActiveDefinition, count
from dagc.catalog.part import Part
from dagc.metrics import Metric
from dagc.plan.deployment import Pool, Service
from dagc.plan.plan import Plan
from dagc.plan.workload import Claim, Figure
from dagc.results.assessment import Actual, Basis, Verdict, written
from dagc.results.quantity import MODEL_DIGITS, figure_text, holds, quantity_text
from dagc.results.structure import pool_gpus, replicas
from dagc.units import Dimension, counted, format_bytes, format_count, format_gpus, format_rate, format_share


def structural_actual(plan: Plan, metric: Metric, figure: Figure) -> Actual | None:
    """The right value of a structural metric, or None when the metric is not structural."""
    reader = _READERS.get(metric)
    return reader(plan, figure) if reader else None


def _known(value: float, figure: Figure, reason: str) -> Actual:
    return Actual(value, figure.unit, figure_text(value, figure), reason)


def _unknown(figure: Figure, *missing: str) -> Actual:
    return Actual(None, figure.unit, None, f"not stated: {', '.join(missing)}")


def _gpus(plan: Plan, figure: Figure) -> Actual:
    deployment = plan.deployment
    reason = deployment.derivation[-1]
    if figure.value == deployment.naive_product != deployment.gpus:
        reason = f"{figure.text} is the product of all degrees; by structure, {reason}"
    return _known(deployment.gpus, figure, reason)


def _replicas(plan: Plan, figure: Figure) -> Actual:
    found = replicas(plan.deployment)
    if found is None:
        return Actual(None, figure.unit, None, "prefill and decode have different numbers of replicas")
    return _known(found, figure, f"{found} by the strategy")


def _stages(plan: Plan, figure: Figure) -> Actual:
    found = max(service.stages for service in plan.deployment.services)
    return _known(found, figure, f"{found} by the strategy")


def _experts_active(plan: Plan, figure: Figure) -> Actual:
    model = plan.facts.model
    if not model.expert_count or not model.top:
        return _unknown(figure, "experts and their top")
    share = model.top / model.expert_count
    return _known(share, figure, f"{model.top} of {model.expert_count} experts a layer")


def _expert_compute_reduction(plan: Plan, figure: Figure) -> Actual:
    model = plan.facts.model
    if not model.expert_count or not model.top:
        return _unknown(figure, "experts and their top")
    reason = f"{model.expert_count} experts / {model.top} visited, of the experts' arithmetic alone"
    return _known(model.expert_count / model.top, figure, reason)


def _experts_per_gpu(plan: Plan, figure: Figure) -> Actual:
    experts = plan.facts.model.expert_count
    if not experts:
        return _unknown(figure, "experts")
    services = [service for service in plan.deployment.services if service.experts_pool.experts]
    held = [(experts + service.options.redundant, _expert_degree(service)) for service in services]
    if not held:
        return Actual(None, figure.unit, None, "no pool holds experts")
    slots, degree = max(held, key=lambda pair: ceil(pair[0] / pair[1]))
    return _known(ceil(slots / degree), figure, f"{slots} experts / ep {degree} = {_quotient(slots, degree)}")


def _expert_degree(service: Service) -> int:
    layout = service.experts_pool.experts
    return layout.ep if layout else 1


def _layers_per_stage(plan: Plan, figure: Figure) -> Actual:
    layers = plan.facts.model.layers
    if not layers:
        return _unknown(figure, "layers")
    service = min(plan.deployment.services, key=lambda s: s.stages)
    if service.options.layers:
        return _known(max(service.options.layers), figure, f"the longest of {list(service.options.layers)}")
    reason = f"{counted(layers, 'layer')} / {counted(service.stages, 'stage')} = {_quotient(layers, service.stages)}"
    return _known(ceil(layers / service.stages), figure, reason)


def _sequences_per_replica(plan: Plan, figure: Figure) -> Actual:
    batch, deployment = plan.facts.workload.batch, plan.deployment
    copies = min(deployment.replicas * service.replicas for service in deployment.services)
    reason = f"{counted(batch, 'sequence')} / {counted(copies, 'replica')} = {_quotient(batch, copies)}"
    return _known(ceil(batch / copies), figure, reason)


def _quotient(amount: int, parts: int) -> str:
    whole, rest = divmod(amount, parts)
    return f"{whole + 1}, uneven: {whole} or {whole + 1}" if rest else str(whole)


def _compute(plan: Plan, figure: Figure) -> Actual:
    deployment = plan.deployment
    pools = [(s, p) for s in deployment.services for p in s.pools]
    peaks = [(pool_gpus(deployment, s, p), plan.device_of(p), _peak(plan, p)) for s, p in pools]
    known = [(gpus, device, peak) for gpus, device, peak in peaks if peak is not None]
    if len(known) < len(peaks):
        return _unknown(figure, "compute of the device")
    total = sum(gpus * peak * device.compute_efficiency for gpus, device, peak in known)
    terms = (_compute_term(gpus, device, peak) for gpus, device, peak in known)
    return _known(total, figure, " + ".join(terms))


def _compute_term(gpus: int, device: DeviceSpec, peak: float) -> str:
    return f"{format_gpus(gpus)} × {format_rate(peak, 'flop/s')} × {format_share(device.compute_efficiency)}"


def _peak(plan: Plan, pool: Pool) -> float | None:
    """Peak of the pool's device in the type of the model's activations, or in the only type that it states."""
    flops = plan.device_of(pool).flops
    if plan.facts.model.activation_dtype in flops:
        return flops[plan.facts.model.activation_dtype]
    return next(iter(flops.values())) if len(flops) == 1 else None


def _weights(plan: Plan, figure: Figure) -> Actual:
    """By the stated total where there is one, because the claim is its author's arithmetic; else by the shapes."""
    model = plan.facts.model
    if model.declared_parameters is None:
        shapes = model.shapes()
        if shapes is None:
            return _unknown(figure, "parameters")
        counted = count(shapes)
        return _known(counted.weight_bytes, figure, f"{format_count(counted.total)} parameters by the shapes")
    total = model.declared_parameters * model.weight_dtype.bytes
    each = f"{model.weight_dtype.bytes:g} bytes ({model.weight_dtype.value})"
    reason = f"{format_count(model.declared_parameters)} stated parameters × {each} = {format_bytes(total)}"
    return _known(total, figure, reason)


_READERS: dict[Metric, Callable[[Plan, Figure], Actual]] = {
    of.GPUS: _gpus,
    of.REPLICAS: _replicas,
    of.STAGES: _stages,
    of.EXPERTS_ACTIVE: _experts_active,
    of.EXPERT_COMPUTE_REDUCTION: _expert_compute_reduction,
    of.EXPERTS_PER_GPU: _experts_per_gpu,
    of.LAYERS_PER_STAGE: _layers_per_stage,
    of.SEQUENCES_PER_REPLICA: _sequences_per_replica,
    of.COMPUTE: _compute,
    of.WEIGHTS: _weights,
}


_MATRICES = (Part.ATTENTION, Part.MIXERS, Part.DENSE_FFN, Part.ROUTER, Part.EXPERTS, Part.SHARED_EXPERTS)


def judge_compute_reduction(plan: Plan, claim: Claim) -> Verdict:
    """`compute_reduction` of a claim; false without shapes too where it is not below E / k."""
    model = plan.facts.model
    if not model.expert_count or not model.top:
        return _verdict(claim, Actual(None, Dimension.RATIO, None, "not stated: experts and their top"), None)
    shapes = model.shapes()
    if shapes is None or shapes.experts is None:
        return _bounded(claim, model, model.expert_count / model.top)
    ratio = _ratio(shapes)
    text = quantity_text(ratio, Dimension.RATIO)
    actual = Actual(ratio, Dimension.RATIO, text, f"{_limit(model)}; with attention {text}")
    return _verdict(claim, actual, holds(ratio, claim.comparison, claim.figure, MODEL_DIGITS))


def _bounded(claim: Claim, model: ModelSpec, limit: float) -> Verdict:
    text = quantity_text(limit, Dimension.RATIO)
    if claim.comparison in ("<", "<=") or claim.figure.value < limit:
        reason = f"{_limit(model)}; by how much it is less is undetermined without shapes"
        ok = True if claim.comparison in ("<", "<=") and claim.figure.value >= limit else None
        return _verdict(claim, Actual(None, Dimension.RATIO, None, reason), ok)
    return _verdict(claim, Actual(None, Dimension.RATIO, f"below {text}", _limit(model)), False)


def _limit(model: ModelSpec) -> str:
    count, top = model.expert_count, model.top
    return f"{count} experts / {top} visited holds for the experts only: attention is computed in full"


def _ratio(shapes: ModelShapes) -> float:
    """Matrix weights with every expert active over those that a token passes; embedding and norms multiply nothing."""
    counted = count(shapes)
    head = counted.by_part[Part.EMBEDDING] if shapes.tied else counted.by_part[Part.HEAD]
    whole = head + sum(counted.by_part[part] for part in _MATRICES)
    idle = counted.total - counted.active[ActiveDefinition.ALL]
    return whole / (whole - idle)


def _verdict(claim: Claim, actual: Actual, ok: bool | None) -> Verdict:
    return Verdict(claim, Basis.STRUCTURE, written(claim.comparison, claim.figure), actual, ok)
