"""Whether the times of a priced phase can be counted at all.

A schedule adds integers of 64 bits: picoseconds, so that no sum may pass 2^63 of them, 107 days. Rates far below those
of any device, or a workload far beyond any, are out of reach, and said so before anything is scheduled.
"""

from __future__ import annotations

from dagc.cost.amounts import LONGEST
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.graph.priced import PICOSECONDS, PricedPhase, serial_time
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.source import Span

OVERFLOW = Code("D108", "time-out-of-reach")

_STEPS = 64
"""Decode steps that a schedule may run through before it is steady."""


def overflows(priced: PricedPhase, plan: Plan) -> tuple[Diagnostic, ...]:
    """D108 where all that a phase does, one after the other, would take too long."""
    phase = priced.graph
    total = sum(count * serial_time(priced.costs[template]) for template, count in phase.copies.items())
    most = LONGEST / (_STEPS if phase.phase is Phase.DECODE else 1)
    if total <= most:
        return ()
    days = total / PICOSECONDS / 86_400
    return (
        OVERFLOW.at(
            plan.deployment.strategy.body.outer,
            f"{phase.phase} of `{plan.name}` takes {days:.3g} days, longer than dagc can represent",
            f"the limit is {most / PICOSECONDS / 86_400:.3g} days",
            labels=tuple(_causes(plan)),
            help=("check the units of the cluster's rates, and the size of the workload",),
        ),
    )


def _causes(plan: Plan) -> list[Label]:
    spans: list[tuple[Span | None, str]] = [
        (plan.facts.cluster.spans.get("cluster"), "these rates"),
        (plan.facts.workload.spans.get("batch"), "this many sequences"),
        (plan.facts.workload.spans.get("prompt"), "of this many tokens"),
    ]
    return [Label(span, text) for span, text in spans if span is not None]
