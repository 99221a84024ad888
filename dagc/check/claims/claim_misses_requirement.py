"""C203: a claimed figure, were it true, would not meet the requirement of its name.

The usual cause is a figure ticked against a requirement that counts otherwise: a total against a rate a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Plan
from dagc.plan.workload import Requirement
from dagc.results.assessment import Assessment, Basis, Verdict

CODE = Code("C203", "claim-misses-requirement")


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each pair of claim and requirement that do not go together."""
    for verdict in assessment.claims:
        if verdict.ok is False and verdict.basis is Basis.REQUIREMENT and verdict.requirement is not None:
            yield _diagnostic(plan, verdict, verdict.requirement)


def _diagnostic(plan: Plan, verdict: Verdict, requirement: Requirement) -> Diagnostic:
    actual, claim = verdict.actual, f"{verdict.name} {verdict.claimed}"
    return CODE.at(
        verdict.claim.span,
        f"`{claim}`, claimed of `{plan.name}`, does not meet the requirement `{requirement.span.text}`",
        f"{actual.text}",
        labels=(Label(requirement.span, f"{requirement.figure.text} required"),),
        notes=(actual.reason,),
        help=_help(verdict, requirement),
    )


def _help(verdict: Verdict, requirement: Requirement) -> tuple[str, ...]:
    claimed, required = verdict.claim.figure, requirement.figure
    if claimed.per is required.per:
        return ()
    return (f"the claim is per {claimed.per}, the requirement per {required.per}: state both in the same terms",)
