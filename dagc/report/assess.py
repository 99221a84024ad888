"""A priced plan is assessed: memory and timelines become figures, and these judge requirements and claims.

The one verb of the report that the priced rules run after. What was not priced stays None, and the missing shapes and
rates are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagc.plan.missing import missing_rates, missing_shapes
from dagc.plan.plan import Plan
from dagc.plan.serving import requests_at_once
from dagc.report.assessment import Assessment
from dagc.report.claims import judge_claims
from dagc.report.measured import Evidence
from dagc.report.memory import MemoryOfPools
from dagc.report.metrics import measure
from dagc.report.requirements import judge_requirements

if TYPE_CHECKING:
    from dagc.cost.memory import PoolMemory
    from dagc.timeline.timeline import Timeline


def assess(
    plan: Plan,
    memory: tuple[PoolMemory, ...] | None,
    timelines: tuple[Timeline, ...] | None,
    mixed: Timeline | None = None,
    transfer: Timeline | None = None,
) -> Assessment:
    """Figures and verdicts of one plan; None where the plan could not be priced."""
    figures = MemoryOfPools(memory) if memory else None
    metrics = measure(plan, timelines, mixed, transfer) if timelines else None
    shapes = missing_shapes(plan)
    evidence = Evidence(plan, figures, metrics, shapes, missing_rates(plan))
    return Assessment(
        memory=figures,
        metrics=metrics,
        missing_shapes=shapes,
        missing_rates=evidence.missing_rates,
        requirements=judge_requirements(evidence),
        claims=judge_claims(evidence),
        admitted=requests_at_once(plan) if figures else None,
    )
