"""Claims against the requirements of the same name: do they meet them, and by the margin that is claimed?

A ceiling's margin is required / claimed, a floor's claimed / required. Both figures are brought to the requirement's
terms first: a total throughput against a requirement a GPU is divided by the GPUs, which is where a plan is most
often ticked against the wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.plan.plan import Plan
from dagc.plan.workload import Claim, Figure, Per, Requirement
from dagc.report.assessment import Actual, Basis, Verdict, written
from dagc.report.compare import meets, same_at_digits
from dagc.report.consistency import claimed_gpus, device_bytes
from dagc.report.quantity import figure_text, in_terms_of, quantity_text
from dagc.units import Dimension, format_bytes, format_gpus

_FLOORS = frozenset({">", ">="})


def judge_against_requirements(plan: Plan, claim: Claim) -> Iterator[Verdict]:
    """One verdict for each requirement that the claimed figure can be held against."""
    for requirement in _same_metric(plan, claim):
        value = _in_terms(plan, claim, requirement.figure)
        if value is not None:
            yield _meeting(plan, claim, requirement, value)


def judge_margin(plan: Plan, claim: Claim) -> Verdict | None:
    """The claimed ratio against the computed one; undetermined without a requirement, None where none is claimed."""
    if claim.margin is None:
        return None
    for requirement in _same_metric(plan, claim):
        value = _in_terms(plan, claim, requirement.figure)
        if value and requirement.figure.value:
            return _margin(claim, claim.margin, requirement, value)
    reason = f"no requirement on `{claim.name}` to compare with"
    return _verdict(claim, claim.margin, Actual(None, Dimension.RATIO, None, reason), None)


def _same_metric(plan: Plan, claim: Claim) -> Iterator[Requirement]:
    return (one for one in plan.facts.requirements if one.metric is claim.metric)


def _in_terms(plan: Plan, claim: Claim, like: Figure) -> float | None:
    return in_terms_of(claim.figure, like, claimed_gpus(plan), device_bytes(plan))


def _meeting(plan: Plan, claim: Claim, requirement: Requirement, value: float) -> Verdict:
    figure = requirement.figure
    text = figure_text(value, figure)
    required = written(requirement.comparison, figure)
    ok = _reaches(claim, requirement, value)
    reason = f"{_conversion(plan, claim, figure, text)}required {required}"
    actual = Actual(value, figure.unit, text, reason)
    return Verdict(claim, Basis.REQUIREMENT, written(claim.comparison, claim.figure), actual, ok, requirement)


def _reaches(claim: Claim, requirement: Requirement, value: float) -> bool:
    """Whether every figure that the claim allows meets the requirement."""
    comparison = requirement.comparison
    if claim.comparison == "=" or comparison == "=":
        return meets(value, comparison, requirement.figure.value)
    same_side = (claim.comparison in _FLOORS) == (comparison in _FLOORS)
    bound = comparison if claim.comparison in ("<=", ">=") else f"{comparison[0]}="
    return same_side and meets(value, bound, requirement.figure.value)


def _conversion(plan: Plan, claim: Claim, figure: Figure, text: str) -> str:
    """How a claim came to the requirement's terms; nothing where it was in them."""
    mine = claim.figure
    if mine.unit != figure.unit:
        return f"{mine.text} of {format_bytes(device_bytes(plan))}: {text}; "
    if mine.unit != Dimension.TOKEN_RATE or mine.per is figure.per:
        return ""
    sign = "/" if figure.per is Per.GPU else "×"
    return f"{mine.text} {sign} {format_gpus(claimed_gpus(plan))} = {text}; "


def _margin(claim: Claim, margin: Figure, requirement: Requirement, value: float) -> Verdict:
    required = requirement.figure
    mine = figure_text(value, required)
    if requirement.comparison in _FLOORS:
        ratio, reason = value / required.value, f"{mine} / {required.text}"
    else:
        ratio, reason = required.value / value, f"{required.text} / {mine}"
    text = quantity_text(ratio, Dimension.RATIO)
    actual = Actual(ratio, Dimension.RATIO, text, f"{reason} = {text}")
    return _verdict(claim, margin, actual, same_at_digits(ratio, margin))


def _verdict(claim: Claim, margin: Figure, actual: Actual, ok: bool | None) -> Verdict:
    return Verdict(claim, Basis.MARGIN, f"margin {margin.text}", actual, ok)
