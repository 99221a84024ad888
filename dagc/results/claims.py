"""Claims become verdicts: each stated figure against everything that can decide it.

A claim is held against the structure or the cost model, against the other claims, against the requirement of its name
and against the margin that it states: one verdict each, in this order, the undetermined last. A figure without a
significant digit (`0.0 s`) is no measurement, and gets one verdict that says so.

Claims against each other need no cost model: two that state one thing in two ways must agree, such as a total
throughput and one a GPU, or bytes and a share of the device. Only figures claimed exactly are compared, at the digits
of the one that is derived. Where GPUs are claimed, theirs is the number used: the arithmetic is the author's.

Claims and requirements of one name are brought to the requirement's terms first: a total throughput against a
requirement a GPU is divided by the GPUs, which is where a plan is most often ticked against the wrong number. The
margin of a ceiling is required / claimed, of a floor claimed / required.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.metrics import COMPUTE_REDUCTION, GPUS, HEADROOM, MEMORY, MEMORY_TOTAL, THROUGHPUT, Metric
from dagc.plan.plan import Plan
from dagc.plan.workload import Claim, Figure, Per, Requirement
from dagc.results.assessment import Actual, Basis, Verdict, decided, written
from dagc.results.measured import Evidence, measured_actual
from dagc.results.quantity import (
    MODEL_DIGITS,
    figure_text,
    holds,
    in_terms_of,
    quantity_text,
    same_at_digits,
    satisfies,
)
from dagc.results.structural import judge_compute_reduction, structural_actual
from dagc.units import Dimension, format_bytes, format_gpus


def judge_claims(evidence: Evidence) -> tuple[Verdict, ...]:
    """Verdicts on the claims about one strategy, in written order; of one claim, what is decided before what is not."""
    judged = (sorted(_judge(evidence, claim), key=lambda verdict: verdict.ok is None) for claim in evidence.plan.claims)
    return tuple(verdict for verdicts in judged for verdict in verdicts)


def _judge(evidence: Evidence, claim: Claim) -> Iterator[Verdict]:
    direct = _direct(evidence, claim)
    if claim.figure.significant == 0 and direct.actual.value != 0:
        yield _without_digits(claim, direct.actual)
        return
    yield direct
    yield from _judge_consistency(evidence.plan, claim)
    yield from _judge_against_requirements(evidence.plan, claim)
    margin = _judge_margin(evidence.plan, claim)
    if margin is not None:
        yield margin


def _direct(evidence: Evidence, claim: Claim) -> Verdict:
    """Against the strategy and the stated facts, or against the cost model."""
    if claim.metric is COMPUTE_REDUCTION:
        return judge_compute_reduction(evidence.plan, claim)
    figure, text = claim.figure, written(claim.comparison, claim.figure)
    exact = structural_actual(evidence.plan, claim.metric, figure)
    if exact is not None:
        return Verdict(claim, Basis.STRUCTURE, text, exact, _ok(exact, claim, None))
    modelled = measured_actual(evidence, claim.metric, figure)
    actual = modelled or Actual(None, figure.unit, None, "not a figure that is computed")
    actual, ok = decided(actual, claim.comparison, _ok(actual, claim, MODEL_DIGITS), figure.value)
    return Verdict(claim, Basis.MODEL, text, actual, ok)


def _ok(actual: Actual, claim: Claim, digits: int | None) -> bool | None:
    return None if actual.value is None else holds(actual.value, claim.comparison, claim.figure, digits)


def _without_digits(claim: Claim, actual: Actual) -> Verdict:
    reason = f"{claim.figure.text} has no significant digit: it is not a measurement"
    if claim.margin is not None:
        reason += f", and no ratio such as {claim.margin.text} follows from it"
    found = Actual(actual.value, actual.unit, actual.text, reason)
    return Verdict(claim, Basis.DIGITS, written(claim.comparison, claim.figure), found, False)


def _judge_consistency(plan: Plan, claim: Claim) -> Iterator[Verdict]:
    """Verdicts on a claim that other claims of the same strategy decide."""
    if not _is_exact(claim):
        return
    others = tuple(c for c in plan.claims if c is not claim and _is_exact(c))
    derived = {
        THROUGHPUT: _throughput,
        MEMORY: _memory,
        HEADROOM: _headroom,
    }.get(claim.metric)
    if derived is not None:
        for value, reason in derived(plan, claim, others):
            yield _derived(claim, value, reason)


def _claimed_gpus(plan: Plan) -> int:
    """GPUs that the author assumes: those claimed, else those of the structure."""
    claimed = next((c.figure.value for c in plan.claims if c.metric is GPUS and _is_exact(c)), None)
    return int(claimed) if claimed and claimed >= 1 else plan.deployment.gpus


def _device_bytes(plan: Plan) -> float:
    """Memory of a GPU: the smallest where pools have devices of their own."""
    pools = [pool for service in plan.deployment.services for pool in service.pools]
    return min(plan.device_of(pool).memory_bytes for pool in pools)


def _is_exact(claim: Claim) -> bool:
    return claim.comparison == "=" and claim.figure.significant > 0


def _derived(claim: Claim, value: float, reason: str) -> Verdict:
    figure = claim.figure
    text = figure_text(value, figure)
    ok = same_at_digits(value, figure)
    return Verdict(claim, Basis.CLAIMS, written(claim.comparison, figure), Actual(value, figure.unit, text, reason), ok)


def _throughput(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    """The total against the one a GPU: the total is the derived figure."""
    if claim.figure.per is Per.GPU:
        return
    gpus = _claimed_gpus(plan)
    for other in others:
        if other.metric is claim.metric and other.figure.per is Per.GPU and other.figure.kind == claim.figure.kind:
            yield other.figure.value * gpus, f"{other.figure.text} × {format_gpus(gpus)}"


def _memory(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    """Bytes a GPU against those of all GPUs; a share against bytes."""
    if claim.figure.unit == Dimension.SHARE:
        capacity = _device_bytes(plan)
        for other in _bytes(others, MEMORY):
            yield other.figure.value / capacity, f"{other.figure.text} of {format_bytes(capacity)}"
        return
    gpus = _claimed_gpus(plan)
    for other in _bytes(others, MEMORY_TOTAL):
        mean = other.figure.value / gpus
        reason = f"{other.figure.text} / {format_gpus(gpus)}"
        if claim.figure.value > mean and not same_at_digits(mean, claim.figure):
            yield claim.figure.value, f"above the mean of {reason}: possible with uneven memory per GPU"
        else:
            yield mean, reason


def _headroom(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    capacity = _device_bytes(plan)
    for other in _bytes(others, MEMORY):
        free = capacity - other.figure.value
        value = free / capacity if claim.figure.unit == Dimension.SHARE else free
        yield value, f"{format_bytes(capacity)} less {other.figure.text}"


def _bytes(claims: Sequence[Claim], metric: Metric) -> Iterator[Claim]:
    return (c for c in claims if c.metric is metric and c.figure.unit == Dimension.BYTES)


_FLOORS = frozenset({">", ">="})


def _judge_against_requirements(plan: Plan, claim: Claim) -> Iterator[Verdict]:
    """One verdict for each requirement that the claimed figure can be held against."""
    for requirement in _same_metric(plan, claim):
        value = _in_terms(plan, claim, requirement.figure)
        if value is not None:
            yield _meeting(plan, claim, requirement, value)


def _judge_margin(plan: Plan, claim: Claim) -> Verdict | None:
    """The claimed ratio against the computed one; undetermined without a requirement, None where none is claimed."""
    if claim.margin is None:
        return None
    for requirement in _same_metric(plan, claim):
        value = _in_terms(plan, claim, requirement.figure)
        if value and requirement.figure.value:
            return _margin(claim, claim.margin, requirement, value)
    reason = f"no requirement on `{claim.name}` to compare with"
    return _margin_verdict(claim, claim.margin, Actual(None, Dimension.RATIO, None, reason), None)


def _same_metric(plan: Plan, claim: Claim) -> Iterator[Requirement]:
    return (one for one in plan.facts.requirements if one.metric is claim.metric)


def _in_terms(plan: Plan, claim: Claim, like: Figure) -> float | None:
    return in_terms_of(claim.figure, like, _claimed_gpus(plan), _device_bytes(plan))


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
        return satisfies(value, comparison, requirement.figure.value)
    same_side = (claim.comparison in _FLOORS) == (comparison in _FLOORS)
    bound = comparison if claim.comparison in ("<=", ">=") else f"{comparison[0]}="
    return same_side and satisfies(value, bound, requirement.figure.value)


def _conversion(plan: Plan, claim: Claim, figure: Figure, text: str) -> str:
    """How a claim came to the requirement's terms; nothing where it was in them."""
    mine = claim.figure
    if mine.unit != figure.unit:
        return f"{mine.text} of {format_bytes(_device_bytes(plan))}: {text}; "
    if mine.unit != Dimension.TOKEN_RATE or mine.per is figure.per:
        return ""
    sign = "/" if figure.per is Per.GPU else "×"
    return f"{mine.text} {sign} {format_gpus(_claimed_gpus(plan))} = {text}; "


def _margin(claim: Claim, margin: Figure, requirement: Requirement, value: float) -> Verdict:
    required = requirement.figure
    mine = figure_text(value, required)
    if requirement.comparison in _FLOORS:
        ratio, reason = value / required.value, f"{mine} / {required.text}"
    else:
        ratio, reason = required.value / value, f"{required.text} / {mine}"
    text = quantity_text(ratio, Dimension.RATIO)
    actual = Actual(ratio, Dimension.RATIO, text, f"{reason} = {text}")
    return _margin_verdict(claim, margin, actual, same_at_digits(ratio, margin))


def _margin_verdict(claim: Claim, margin: Figure, actual: Actual, ok: bool | None) -> Verdict:
    return Verdict(claim, Basis.MARGIN, f"margin {margin.text}", actual, ok)
