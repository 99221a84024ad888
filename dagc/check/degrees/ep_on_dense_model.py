"""D201: experts are split of a model that has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.helpers.alternatives import axis_at, written_factor
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Choice, Code, Diagnostic, Offer
from dagc.diag.fixing import write
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.plan.scopes import annotate, substitute

CODE = Code("D201", "ep-on-dense-model")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each `ep`."""
    if not plan.facts.model.is_dense:
        return
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if factor is not None and factor.degree > 1:
            yield CODE.at(
                factor.span,
                f"`ep {factor.degree}` splits experts, and {plan.facts.model.name} has none",
                "every layer of this model is dense",
                offers=_offers(plan, factor),
            )


def _offers(plan: Plan, factor: Factor) -> tuple[Offer, ...]:
    """`tp` in the same place, where it may occur there."""
    axis, strategy = axis_at(plan, factor.span), plan.deployment.strategy
    if axis is None or axis.options:
        return ()
    whole = substitute(strategy.body, axis, replace(axis, kind=AxisKind.TP))
    if not annotate(replace(strategy, body=whole)).is_legal:
        return ()
    (fix,) = write(axis.span, f"tp {axis.degree}")
    tail = ", which splits the matrices over as many GPUs"
    return (Offer(((Choice(f"`tp {axis.degree}`", fix),),), tail=tail, otherwise="split its matrices, with `tp`"),)
