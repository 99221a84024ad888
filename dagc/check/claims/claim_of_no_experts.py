"""C102: a figure of experts is claimed of a model that has none."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment

CODE = Code("C102", "claim-of-no-experts")

_OF_EXPERTS = frozenset({"experts_active", "experts_per_gpu", "expert_compute_reduction", "compute_reduction"})


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic for each such claim."""
    if not plan.facts.model.is_dense:
        return
    for claim in plan.claims:
        if claim.name in _OF_EXPERTS:
            yield CODE.at(
                claim.span,
                f"`{claim.name}` is claimed, but {plan.facts.model.name} has no experts",
                "every layer of this model is dense",
                help=("leave the claim out, or name the model that is meant",),
            )
