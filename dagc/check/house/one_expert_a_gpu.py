"""W201: a GPU holds other than exactly one expert of each layer."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.plan.splits import experts_per_rank
from dagc.units import counted

CODE = Code("W201", "one-expert-a-gpu", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service with experts; a part of an expert is none."""
    experts = plan.facts.model.expert_count
    for service in plan.deployment.services:
        layout = service.experts_pool.experts
        if not experts or layout is None:
            continue
        held = experts_per_rank(layout, experts, service.options.redundant)
        factor = written_factor(layout, AxisKind.EP)
        if int(held.max()) != 1 or int(held.min()) != 1 or layout.tp > 1:
            part = f"1/{layout.tp} of each of " if layout.tp > 1 else ""
            yield CODE.at(
                factor.span if factor else service.span,
                f"a GPU holds {part}{int(held.max())} experts of a layer, not one",
                f"{experts + service.options.redundant} expert slots over ep {layout.ep}, tp {layout.tp}",
                labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
                offers=use_degree(plan, factor.span if factor else None, ((experts,),), applies=False),
            )
