"""A priced plan becomes its `Summary`: the structure, the figures, the verdicts, and what stayed undetermined.

Arranges what other modules found; it computes nothing. Rows of requirements and claims are in written order.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import TYPE_CHECKING, Literal

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.jsonout import to_json
from dagc.plan.plan import Plan
from dagc.results import summary as out
from dagc.results.assessment import Assessment, RequirementVerdict, Verdict
from dagc.results.facts import facts_of
from dagc.results.memory import memory_record
from dagc.results.metrics import cost_of
from dagc.results.structure import structure

if TYPE_CHECKING:
    from dagc.cost.limits import MemoryLimits


def summarize(
    plan: Plan, found: Assessment, diagnostics: Iterable[Diagnostic] = (), limits: MemoryLimits | None = None
) -> out.Summary:
    """Everything about one strategy, from what its assessment found; `limits` where they were asked for."""
    metrics = found.metrics
    return out.Summary(
        **vars(structure(plan.deployment)),
        memory=memory_record(found.memory, limits, found.admitted) if found.memory else None,
        phases=metrics.phases if metrics else None,
        throughput=metrics.throughput if metrics else None,
        serving=metrics.serving if metrics else None,
        load=found.load,
        cost=cost_of(plan, metrics),
        requirements=requirements_of(found),
        claims=[_claim(verdict) for verdict in found.claims],
        undetermined=_undetermined(found),
        facts=facts_of(plan.facts),
        diagnostics=[to_json(diagnostic) for diagnostic in diagnostics],
    )


def requirements_of(found: Assessment) -> list[out.RequirementRecord]:
    """The requirements, each with what the deployment does."""
    return [_requirement(verdict) for verdict in found.requirements]


def _requirement(verdict: RequirementVerdict) -> out.RequirementRecord:
    actual = verdict.actual
    return out.RequirementRecord(
        name=verdict.name,
        required=verdict.required,
        actual=actual.text,
        actual_value=_finite(actual.value),
        unit=actual.unit,
        ok=verdict.ok,
        verdict=_verdict(verdict),
        reason=actual.reason,
    )


def _verdict(found: RequirementVerdict) -> Literal["met", "met within error", "missed within error", "missed"] | None:
    if found.ok is None:
        return None
    if found.is_within_error:
        return "met within error" if found.ok else "missed within error"
    return "met" if found.ok else "missed"


def _claim(verdict: Verdict) -> out.ClaimRecord:
    actual = verdict.actual
    return out.ClaimRecord(
        name=verdict.name,
        claimed=verdict.claimed,
        basis=verdict.basis.value,
        actual=actual.text,
        actual_value=_finite(actual.value),
        unit=actual.unit,
        ok=verdict.ok,
        reason=actual.reason,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _undetermined(found: Assessment) -> list[out.Undetermined]:
    shapes = list(found.missing_shapes)
    both = [*shapes, *found.missing_rates]
    what = [("memory", found.memory, shapes), ("phases", found.metrics, both), ("throughput", found.metrics, both)]
    return [out.Undetermined(what=name, missing=missing) for name, figures, missing in what if figures is None]
