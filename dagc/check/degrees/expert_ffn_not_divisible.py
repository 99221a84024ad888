"""D303: the inner width of an expert does not divide over the ranks of the experts' tp group."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("D303", "expert-ffn-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where one `tp` splits heads too, and does not divide those."""
    experts = plan.facts.model.experts
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.TP)
        if experts is not None and factor is not None and experts.ffn % factor.degree and _is_apart(plan, factor):
            yield _diagnostic(plan, factor, experts.ffn)


def _is_apart(plan: Plan, factor: Factor) -> bool:
    """Whether this `tp` is the experts' own, or divides the heads: else those are reported alone."""
    layouts = (service.attention_pool.attention for service in plan.deployment.services)
    shared = any(factor in layout.factors for layout in layouts if layout)
    return not shared or not plan.facts.model.heads or plan.facts.model.heads % factor.degree == 0


def _diagnostic(plan: Plan, factor: Factor, ffn: int) -> Diagnostic:
    each, rest = divmod(ffn, factor.degree)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` does not divide the inner width {ffn} of an expert",
        f"{ffn} = {factor.degree} × {each} + {rest}",
        labels=label(plan.facts.model.spans, f"each expert is {ffn} wide", "ffn"),
        offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
    )
