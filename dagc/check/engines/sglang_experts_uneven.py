"""D421: SGLang needs as many expert slots on each rank."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.engine_terms import dividing_ep, expert_groups
from dagc.check.facts import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D421", "sglang-experts-uneven")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where ranks would hold none."""
    for service, factor, experts in expert_groups(plan, "sglang"):
        slots = experts + service.options.redundant
        if factor.degree <= slots and slots % factor.degree:
            each, rest = divmod(slots, factor.degree)
            redundant = slots - experts + -slots % factor.degree
            yield CODE.at(
                factor.span,
                f"SGLang cannot split {slots} expert slots over `ep {factor.degree}`",
                f"{slots} = {factor.degree} × {each} + {rest}: each rank holds as many",
                labels=label(plan.facts.model.spans, f"{experts} experts in each MoE layer", "experts"),
                help=(f"use {dividing_ep(slots, factor.degree)}, or `[redundant {redundant}]`",),
            )
