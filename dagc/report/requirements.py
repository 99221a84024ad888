"""Requirements become verdicts: what the deployment does against what is asked of it.

All requirements must hold at the exact figures; a share must hold in both phases. What the cost model cannot say for
lack of shapes, or because load is not simulated, stays undetermined.
"""

from __future__ import annotations

from dagc.plan.workload import Requirement
from dagc.report.assessment import Actual, RequirementVerdict, decided, written
from dagc.report.compare import meets
from dagc.report.measured import Evidence, measured_actual
from dagc.report.structural import structural_actual


def judge_requirements(evidence: Evidence) -> tuple[RequirementVerdict, ...]:
    """One verdict for each requirement, in written order."""
    return tuple(_judge(evidence, requirement) for requirement in evidence.plan.facts.requirements)


def _judge(evidence: Evidence, requirement: Requirement) -> RequirementVerdict:
    figure = requirement.figure
    actual = (
        structural_actual(evidence.plan, requirement.metric, figure)
        or measured_actual(evidence, requirement.metric, figure)
        or Actual(None, figure.unit, None, "not a figure that is computed")
    )
    ok = None if actual.value is None else meets(actual.value, requirement.comparison, figure.value)
    actual, ok = decided(actual, requirement.comparison, ok, figure.value)
    return RequirementVerdict(requirement, written(requirement.comparison, figure), actual, ok)
