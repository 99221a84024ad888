"""D301: attention heads do not divide over the ranks of a tp group."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import attention_tps, indivisible
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D301", "heads-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    heads = plan.facts.model.heads
    for _, factor in attention_tps(plan):
        if heads and heads % factor.degree:
            place = label(plan.facts.model.spans, f"{counted(heads, 'head')}", "heads")
            yield indivisible(CODE, plan, factor, heads, f"{heads} attention heads", place, ": a head is not split")
