"""D303: the inner width of an expert does not divide over the ranks of the experts' tp group."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import indivisible, written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan

CODE = Code("D303", "expert-ffn-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where one `tp` splits heads too, and does not divide those."""
    experts = plan.facts.model.experts
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.TP)
        if experts is not None and factor is not None and experts.ffn % factor.degree and _is_apart(plan, factor):
            what, text = f"the inner width {experts.ffn} of an expert", f"each expert is {experts.ffn} wide"
            yield indivisible(CODE, plan, factor, experts.ffn, what, label(plan.facts.model.spans, text, "ffn"))


def _is_apart(plan: Plan, factor: Factor) -> bool:
    """Whether this `tp` is the experts' own, or divides the heads: else those are reported alone."""
    layouts = (service.attention_pool.attention for service in plan.deployment.services)
    shared = any(factor in layout.factors for layout in layouts if layout)
    return not shared or not plan.facts.model.heads or plan.facts.model.heads % factor.degree == 0
