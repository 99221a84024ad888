"""C202: the ratio that a claim states to its requirement is not the ratio of the two figures."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.workload import Figure
from dagc.results.assessment import Assessment, Basis, Verdict

CODE = Code("C202", "margin-wrong")


def check(_: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each margin that the arithmetic contradicts."""
    for verdict in assessment.claims:
        margin = verdict.claim.margin
        if verdict.ok is False and verdict.basis is Basis.MARGIN and margin is not None:
            yield _diagnostic(verdict, margin)


def _diagnostic(verdict: Verdict, margin: Figure) -> Diagnostic:
    actual = verdict.actual
    return CODE.at(
        margin.span,
        f"a margin of {margin.text} is claimed for `{verdict.name}`: {actual.reason}",
        f"{actual.text}",
        help=(f"write `margin {actual.text}`",),
    )
