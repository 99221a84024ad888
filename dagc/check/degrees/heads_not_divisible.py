"""D301: attention heads do not divide over the ranks of a tp group."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind
from dagc.units import counted

CODE = Code("D301", "heads-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    heads = plan.facts.model.heads
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if heads and factor is not None and heads % factor.degree:
            yield _diagnostic(plan, factor, heads)


def _diagnostic(plan: Plan, factor: Factor, heads: int) -> Diagnostic:
    each, rest = divmod(heads, factor.degree)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` does not divide {heads} attention heads",
        f"{heads} = {factor.degree} × {each} + {rest}: a head is not split",
        labels=label(plan.facts.model.spans, f"{counted(heads, 'head')}", "heads"),
        offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
    )
