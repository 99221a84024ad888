"""D444: Megatron-Core cuts a sequence into twice as many parts as cp has ranks, of equal length."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.engines import services_under
from dagc.check.helpers.labels import label, states
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D444", "megatron-prompt-not-in-parts")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; only where the plan states its workload."""
    prompt = plan.facts.workload.prompt
    for engine, service in services_under(plan, CODE) if states(plan, "workload") else ():
        factor = written_factor(service.attention_pool.attention, AxisKind.CP)
        parts = 2 * factor.degree if factor else 0
        if factor is not None and factor.degree > 1 and prompt % parts:
            yield CODE.at(
                factor.span,
                f"{engine.title} cannot split a prompt of {prompt} tokens into {parts} equal parts "
                f"for `cp {factor.degree}`",
                f"{prompt} / (2 × {factor.degree}) = {prompt / parts:g}",
                labels=label(plan.facts.workload.spans, f"{counted(prompt, 'token')}", "prompt"),
                help=(f"pad prompts to {prompt + -prompt % parts} tokens",),
            )
