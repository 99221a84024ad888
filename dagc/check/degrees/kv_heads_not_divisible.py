"""D302: key-value heads neither divide over the ranks of a tp group nor are copied evenly to them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, kv_fits, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind
from dagc.units import counted

CODE = Code("D302", "kv-heads-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where the query heads do not divide either."""
    model = plan.facts.model
    if not model.kv_heads:
        return
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if factor is not None and not kv_fits(model.kv_heads, factor.degree) and _divides(model.heads, factor.degree):
            yield _diagnostic(plan, factor, model.kv_heads)


def _divides(heads: int | None, tp: int) -> bool:
    return heads is None or heads % tp == 0


def _diagnostic(plan: Plan, factor: Factor, kv_heads: int) -> Diagnostic:
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` neither divides {kv_heads} key-value heads nor is a multiple of them",
        f"{max(kv_heads, factor.degree)} / {min(kv_heads, factor.degree)} is not whole",
        labels=label(plan.facts.model.spans, f"{counted(kv_heads, 'key-value head')}", "kv_heads"),
        offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
    )
