"""D411: vLLM's expert load balancing needs as many slots on each rank."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import add_option
from dagc.check.helpers.engines import expert_groups
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D411", "vllm-slots-uneven")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service with redundant experts. Without them vLLM splits unevenly, which W102 says."""
    for engine, service, factor, experts in expert_groups(plan, CODE):
        redundant = service.options.redundant
        slots = experts + redundant
        if redundant and slots % factor.degree:
            yield CODE.at(
                factor.span,
                f"`ep {factor.degree}` does not divide {experts} experts + {redundant} redundant ones = {slots} slots",
                f"{engine.title} needs the same number of slots on each rank",
                labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
                offers=add_option(plan, factor.span, f"redundant {redundant + -slots % factor.degree}"),
            )
