"""D304: the inner width of the dense FFN does not divide over the ranks of attention's tp group, which shards it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("D304", "dense-ffn-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where heads do not divide either."""
    ffn, heads = plan.facts.model.dense_ffn, plan.facts.model.heads
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if ffn and factor is not None and ffn % factor.degree and not (heads and heads % factor.degree):
            yield _diagnostic(plan, factor, ffn)


def _diagnostic(plan: Plan, factor: Factor, ffn: int) -> Diagnostic:
    each, rest = divmod(ffn, factor.degree)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` does not divide the inner width {ffn} of the dense FFN",
        f"{ffn} = {factor.degree} × {each} + {rest}",
        labels=label(plan.facts.model.spans, f"the dense FFN is {ffn} wide", "dense_ffn"),
        offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
    )
