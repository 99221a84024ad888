"""C401: a claimed figure has no significant digit, so it measures nothing."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment, Basis, Verdict

CODE = Code("C401", "claim-without-digits")


def check(_: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each claim that rounds to zero."""
    for verdict in assessment.claims:
        if verdict.basis is Basis.DIGITS:
            yield _diagnostic(verdict)


def _diagnostic(verdict: Verdict) -> Diagnostic:
    actual = verdict.actual
    instead = f"`{verdict.name} {actual.text}`" if actual.text else f"a bound such as `{verdict.name} < 0.1 s`"
    return CODE.at(
        verdict.claim.span,
        f"`{verdict.name} {verdict.claimed}` is no measurement: no digit of {verdict.claim.figure.text} is significant",
        "rounded to nothing",
        notes=(actual.reason,),
        help=(f"claim {instead}",),
    )
