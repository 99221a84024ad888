"""C101: a claimed figure is not what the strategy, the stated facts or the cost model give."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix, Label
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment, Basis, Verdict
from dagc.units import Dimension, format_gpus

CODE = Code("C101", "claim-false")

_BASES = frozenset({Basis.STRUCTURE, Basis.MODEL})
_OF_STRATEGY = frozenset({"gpus", "replicas", "stages", "experts_per_gpu", "layers_per_stage", "sequences_per_replica"})


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each claim that structure or cost model contradicts."""
    for verdict in assessment.claims:
        if verdict.ok is False and verdict.basis in _BASES:
            yield _diagnostic(plan, verdict)


def _diagnostic(plan: Plan, verdict: Verdict) -> Diagnostic:
    actual = verdict.actual
    return CODE.at(
        verdict.claim.span,
        f"`{verdict.name} {verdict.claimed}` is claimed of `{plan.name}`, but it is {actual.text}",
        f"{actual.text}",
        labels=_labels(plan, verdict),
        notes=(actual.reason,),
        help=_help(plan, verdict),
        fixes=_fixes(verdict),
    )


def _labels(plan: Plan, verdict: Verdict) -> tuple[Label, ...]:
    if verdict.name != "gpus":
        return ()
    return (Label(plan.deployment.strategy.body.outer, f"{format_gpus(plan.deployment.gpus)} by structure"),)


def _help(plan: Plan, verdict: Verdict) -> tuple[str, ...]:
    model, figure = plan.facts.model, verdict.claim.figure
    if verdict.name == "compute_reduction" and figure.value * (model.top or 0) == model.expert_count:
        return (f"claim `expert_compute_reduction {figure.text}` instead",)
    if verdict.actual.value is None:
        return ()
    if verdict.actual.is_lower_bound:
        return ("claim what was measured under load: it cannot be less than on an idle server",)
    instead = ", or change the strategy" if verdict.name in _OF_STRATEGY else ""
    return (f"claim `{verdict.name} {verdict.actual.text}`{instead}",)


def _fixes(verdict: Verdict) -> tuple[Fix, ...]:
    """The right count in the place of the wrong one; figures of the cost model are the author's to state."""
    figure, actual = verdict.claim.figure, verdict.actual
    is_count = figure.unit == Dimension.COUNT and verdict.claim.comparison == "="
    if not is_count or actual.text is None or verdict.claim.margin is not None:
        return ()
    return (Fix(f"claim {actual.text}", (Edit(figure.span, actual.text),), safe=False),)
