"""C201: two claims about one strategy state the same thing with different figures."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment, Basis, Verdict

CODE = Code("C201", "claims-disagree")


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each claim that does not follow from the others."""
    for verdict in assessment.claims:
        if verdict.ok is False and verdict.basis is Basis.CLAIMS:
            yield _diagnostic(plan, verdict)


def _diagnostic(plan: Plan, verdict: Verdict) -> Diagnostic:
    actual = verdict.actual
    return CODE.at(
        verdict.claim.span,
        f"the claims of `{plan.name}` disagree: {actual.reason} = {actual.text}, not {verdict.claim.figure.text}",
        f"{actual.text} by the other claims",
        help=(f"one of the figures is wrong: with the others right, it is `{verdict.name} {actual.text}`",),
    )
