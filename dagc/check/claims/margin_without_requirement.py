"""C204: a claim states a margin to a requirement that the plan does not have."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment

CODE = Code("C204", "margin-without-requirement")


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each such margin."""
    required = {requirement.metric for requirement in plan.facts.requirements}
    for claim in plan.claims:
        if claim.margin is not None and claim.metric not in required:
            yield CODE.at(
                claim.margin.span,
                f"a margin of {claim.margin.text} is claimed for `{claim.name}`, but the plan has no such requirement",
                "no requirement to compare with",
                help=(f"state the requirement, `require {{ {claim.name} … }}`, or leave the margin out",),
            )
