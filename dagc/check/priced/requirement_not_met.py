"""R101: the deployment does not do what is required of it.

Memory over a limit that is no lower than the device's is not reported here: M101 has the same cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.metrics import MEMORY, THROUGHPUT
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment, RequirementVerdict
from dagc.units import Dimension, format_gpus

CODE = Code("R101", "requirement-not-met")


_NEAR = "missed within error: the 80 % interval of this time reaches past the limit"


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each requirement that fails."""
    for verdict in assessment.requirements:
        if verdict.ok is False and not _is_device_limit(assessment, verdict):
            yield _diagnostic(plan, verdict)


def _diagnostic(plan: Plan, verdict: RequirementVerdict) -> Diagnostic:
    requirement, actual = verdict.requirement, verdict.actual
    return CODE.at(
        requirement.span,
        f"strategy `{plan.name}` does not meet `{requirement.title} {verdict.required}`: it is {actual.text}",
        f"{actual.text} against {requirement.figure.text}{_factor(verdict)}",
        labels=(
            Label(plan.deployment.strategy.body.outer, f"`{requirement.title}` of this strategy is {actual.text}"),
        ),
        notes=(actual.reason, *([_NEAR] if verdict.is_within_error else [])),
        help=_help(plan, verdict),
    )


def _factor(verdict: RequirementVerdict) -> str:
    """How far off: the ratio of the larger to the smaller figure."""
    actual, required = verdict.actual.value or 0.0, verdict.requirement.figure.value
    small, large = sorted((abs(actual), abs(required)))
    return f", off by a factor of {large / small:.3g}" if small and isfinite(large) else ""


def _help(plan: Plan, verdict: RequirementVerdict) -> tuple[str, ...]:
    """For rates, the replicas that would do it; elsewhere what the reason says is the way."""
    figure, value = verdict.requirement.figure, verdict.actual.value
    if verdict.requirement.metric is THROUGHPUT and value and figure.per == "deployment" and value < figure.value:
        needed = -int(-figure.value * plan.deployment.gpus // value)
        return (f"at the same rate per GPU, {format_gpus(needed)} would meet it",)
    return ()


def _is_device_limit(assessment: Assessment, verdict: RequirementVerdict) -> bool:
    if verdict.requirement.metric is not MEMORY or assessment.memory is None or assessment.memory.fullest.share <= 1:
        return False
    figure, capacity = verdict.requirement.figure, assessment.memory.fullest.capacity_bytes
    return figure.value >= (1.0 if figure.unit == Dimension.SHARE else capacity)
