"""The claim that sparse experts save arithmetic in the whole model.

Visiting k of E experts divides the experts' arithmetic by E / k. Attention, dense layers and shared experts are
computed in full all the same, so the whole model's reduction is below E / k; with shapes it is the matrix weights of
the model with every expert active over those that a token passes. Scores over the context would lower it further.
"""

from __future__ import annotations

from dagc.catalog.model import ModelShapes, ModelSpec
from dagc.catalog.parameters import ActiveDefinition, count
from dagc.catalog.part import Part
from dagc.plan.plan import Plan
from dagc.plan.workload import Claim
from dagc.report.assessment import Actual, Basis, Verdict, written
from dagc.report.compare import MODEL_DIGITS, holds
from dagc.report.quantity import quantity_text
from dagc.units import Dimension

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
