"""D302: key-value heads neither divide over the ranks of a tp group nor are copied evenly to them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import attention_tps, fitting_tp, kv_fits, use_degree
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D302", "kv-heads-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where the query heads do not divide either."""
    model = plan.facts.model
    if not model.kv_heads:
        return
    for _, factor in attention_tps(plan):
        if not kv_fits(model.kv_heads, factor.degree) and (model.heads or 0) % factor.degree == 0:
            yield CODE.at(
                factor.span,
                f"`tp {factor.degree}` neither divides {model.kv_heads} key-value heads nor is a multiple of them",
                f"{max(model.kv_heads, factor.degree)} / {min(model.kv_heads, factor.degree)} is not whole",
                labels=label(plan.facts.model.spans, f"{counted(model.kv_heads, 'key-value head')}", "kv_heads"),
                offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
            )
