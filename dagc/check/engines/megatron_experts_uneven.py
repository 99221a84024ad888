"""D442: Megatron-Core needs as many expert slots on each rank."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_degree
from dagc.check.helpers.engines import dividing_ep, expert_groups
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D442", "megatron-experts-uneven")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where ranks would hold none."""
    for service, factor, experts in expert_groups(plan, "megatron"):
        slots = experts + service.options.redundant
        if factor.degree <= slots and slots % factor.degree:
            each, rest = divmod(slots, factor.degree)
            yield CODE.at(
                factor.span,
                f"Megatron-Core cannot split {slots} expert slots over `ep {factor.degree}`",
                f"{slots} = {factor.degree} × {each} + {rest}: each rank needs the same number",
                labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
                offers=use_degree(plan, factor.span, dividing_ep(slots, factor.degree), applies=False),
            )
