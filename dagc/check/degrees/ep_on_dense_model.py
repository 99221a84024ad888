"""D201: experts are split of a model that has none."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.alternatives import written_factor
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("D201", "ep-on-dense-model")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each `ep`."""
    if not plan.facts.model.is_dense:
        return
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if factor is not None and factor.degree > 1:
            yield _diagnostic(plan, factor)


def _diagnostic(plan: Plan, factor: Factor) -> Diagnostic:
    return CODE.at(
        factor.span,
        f"`ep {factor.degree}` splits experts, and {plan.facts.model.name} has none",
        "every layer of this model is dense",
        help=(f"`tp {factor.degree}` splits the matrices over as many GPUs",),
    )
