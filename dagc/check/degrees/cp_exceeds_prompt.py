"""D306: more context-parallel ranks than a prompt has tokens."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import axis_at, downwards, use_degree, written_factor
from dagc.check.helpers.labels import label, states
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D306", "cp-exceeds-prompt")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; only where the workload is stated."""
    if not states(plan, "workload"):
        return
    prompt = plan.facts.workload.prompt
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.CP)
        if factor is not None and factor.degree > prompt:
            yield CODE.at(
                factor.span,
                f"`cp {factor.degree}` has more ranks than a prompt has tokens",
                f"{factor.degree - prompt} of the {factor.degree} ranks would have no token",
                labels=label(plan.facts.workload.spans, f"{counted(prompt, 'token')}", "prompt"),
                offers=use_degree(plan, factor.span, downwards(plan, axis_at(plan, factor.span), prompt)),
            )
