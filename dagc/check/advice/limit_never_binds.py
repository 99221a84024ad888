"""W139: a requirement that every deployment meets, or that another one contains."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Label, Severity
from dagc.metrics import MEMORY
from dagc.plan.plan import Plan
from dagc.plan.workload import Requirement
from dagc.units import Dimension, format_bytes

CODE = Code("W139", "limit-never-binds", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each such requirement."""
    for requirement in plan.facts.requirements:
        reason, other = _reason(plan, requirement), _tighter(plan, requirement)
        if reason or other is not None:
            yield CODE.at(
                requirement.span,
                f"`{requirement.span.text}` is redundant",
                reason or "the other limit is stricter",
                labels=() if other is None or reason else (Label(other.span, "implied by this one"),),
                help=("leave it out, or state the limit that is meant",),
            )


def _reason(plan: Plan, requirement: Requirement) -> str:
    figure = requirement.figure
    if not requirement.is_ceiling:
        return "nothing is below zero" if requirement.comparison != "=" and figure.value == 0 else ""
    if figure.unit == Dimension.SHARE and (
        figure.value > 1 or (figure.value == 1 and requirement.metric is not MEMORY)
    ):
        return "a share is never more than 100 %"
    largest = max(plan.device_of(pool).memory_bytes for s in plan.deployment.services for pool in s.pools)
    if requirement.metric is MEMORY and figure.unit == Dimension.BYTES and figure.value > largest:
        return f"a GPU has {format_bytes(largest)}"
    return ""


def _tighter(plan: Plan, requirement: Requirement) -> Requirement | None:
    """Another requirement on the same figure that this one follows from; of equals the first stays."""
    same = [one for one in plan.facts.requirements if one.subject == requirement.subject]
    place = same.index(requirement)
    sign = 1 if requirement.is_ceiling else -1
    for i, one in enumerate(same):
        is_same_side = "=" not in (one.comparison, requirement.comparison) and one.is_ceiling == requirement.is_ceiling
        if is_same_side and (sign * one.figure.value, i) < (sign * requirement.figure.value, place):
            return one
    return None
