"""Claims become verdicts: each stated figure against everything that can decide it.

A claim is held against the structure or the cost model, against the other claims, against the requirement of its name
and against the margin that it states: one verdict each, in this order, the undetermined last. A figure without a
significant digit (`0.0 s`) is no measurement, and gets one verdict that says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.metrics import COMPUTE_REDUCTION
from dagc.plan.workload import Claim
from dagc.report.assessment import Actual, Basis, Verdict, decided, written
from dagc.report.compare import MODEL_DIGITS, holds
from dagc.report.consistency import judge_consistency
from dagc.report.margins import judge_against_requirements, judge_margin
from dagc.report.measured import Evidence, measured_actual
from dagc.report.reduction import judge_compute_reduction
from dagc.report.structural import structural_actual


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
    yield from judge_consistency(evidence.plan, claim)
    yield from judge_against_requirements(evidence.plan, claim)
    margin = judge_margin(evidence.plan, claim)
    if margin is not None:
        yield margin


def _direct(evidence: Evidence, claim: Claim) -> Verdict:
    """Against the strategy and the stated facts, or against the cost model."""
    if claim.metric is COMPUTE_REDUCTION:
        return judge_compute_reduction(evidence.plan, claim)
    figure, stated = claim.figure, written(claim.comparison, claim.figure)
    exact = structural_actual(evidence.plan, claim.metric, figure)
    if exact is not None:
        return Verdict(claim, Basis.STRUCTURE, stated, exact, _ok(exact, claim, None))
    modelled = measured_actual(evidence, claim.metric, figure)
    actual = modelled or Actual(None, figure.unit, None, "not a figure that is computed")
    actual, ok = decided(actual, claim.comparison, _ok(actual, claim, MODEL_DIGITS), figure.value)
    return Verdict(claim, Basis.MODEL, stated, actual, ok)


def _ok(actual: Actual, claim: Claim, digits: int | None) -> bool | None:
    return None if actual.value is None else holds(actual.value, claim.comparison, claim.figure, digits)


def _without_digits(claim: Claim, actual: Actual) -> Verdict:
    reason = f"{claim.figure.text} has no significant digit: it is not a measurement"
    if claim.margin is not None:
        reason += f", and no ratio such as {claim.margin.text} follows from it"
    found = Actual(actual.value, actual.unit, actual.text, reason)
    return Verdict(claim, Basis.DIGITS, written(claim.comparison, claim.figure), found, False)
