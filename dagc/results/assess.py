"""A priced plan is assessed: memory and timelines become figures, and these judge requirements and claims.

The one verb that the priced rules run after. All requirements must hold at the exact figures; a share must hold in both
phases. What was not priced stays None and the missing shapes and rates are named; what only simulated requests tell
stays undetermined where there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagc.metrics import TPOT, TTFT, Metric
from dagc.plan.plan import Plan, missing_rates, missing_shapes, requests_at_once
from dagc.plan.workload import Requirement
from dagc.results.assessment import Actual, Assessment, RequirementVerdict, Verdict, decided, written
from dagc.results.measured import Evidence, measured_actual
from dagc.results.memory import MemoryOfPools
from dagc.results.metrics import NOTHING_ELSE, OtherTimelines, measure
from dagc.results.quantity import satisfies

if TYPE_CHECKING:
    from dagc.cost.memory import PoolMemory
    from dagc.plan.workload import Figure
    from dagc.results.load import SimulatedLoad
    from dagc.schedule.timeline import Timeline


def assess(
    plan: Plan,
    memory: tuple[PoolMemory, ...] | None,
    timelines: tuple[Timeline, ...] | None,
    others: OtherTimelines = NOTHING_ELSE,
    load: SimulatedLoad | None = None,
) -> Assessment:
    """Figures and verdicts of one plan; None where the plan could not be priced."""
    figures = MemoryOfPools(memory) if memory else None
    metrics = measure(plan, timelines, others) if timelines else None
    shapes = missing_shapes(plan)
    evidence = Evidence(plan, figures, metrics, shapes, missing_rates(plan), load)
    return Assessment(
        memory=figures,
        metrics=metrics,
        missing_shapes=shapes,
        missing_rates=evidence.missing_rates,
        requirements=judge_requirements(evidence),
        claims=_judge_claims(evidence) if plan.claims else (),
        admitted=requests_at_once(plan) if figures else None,
        load=load,
    )


def _judge_claims(evidence: Evidence) -> tuple[Verdict, ...]:
    from dagc.results.claims import judge_claims

    return judge_claims(evidence)


def judge_requirements(evidence: Evidence) -> tuple[RequirementVerdict, ...]:
    """One verdict for each requirement, in written order."""
    return tuple(_judge(evidence, requirement) for requirement in evidence.plan.facts.requirements)


def _judge(evidence: Evidence, requirement: Requirement) -> RequirementVerdict:
    figure = requirement.figure
    actual = (
        measured_actual(evidence, requirement.metric, figure)
        or _structural_actual(evidence.plan, requirement.metric, figure)
        or Actual(None, figure.unit, None, "not a figure that is computed")
    )
    ok = None if actual.value is None else satisfies(actual.value, requirement.comparison, figure.value)
    actual, ok = decided(actual, requirement.comparison, ok, figure.value)
    is_near = ok is not None and _is_within_error(evidence, requirement)
    return RequirementVerdict(requirement, written(requirement.comparison, figure), actual, ok, is_near)


def _structural_actual(plan: Plan, metric: Metric, figure: Figure) -> Actual | None:
    from dagc.results.structural import structural_actual

    return structural_actual(plan, metric, figure)


def _is_within_error(evidence: Evidence, requirement: Requirement) -> bool:
    """Whether the 80 % interval of a required time holds both what meets the limit and what misses it."""
    if evidence.metrics is None or requirement.metric not in (TTFT, TPOT):
        return False
    if requirement.metric is TTFT and evidence.load is not None:
        return False
    phase = evidence.metrics.prefill if requirement.metric is TTFT else evidence.metrics.decode
    ends = phase.interval.bounds(0.8) if phase.interval else ()
    return len({satisfies(end, requirement.comparison, requirement.figure.value) for end in ends}) == 2
