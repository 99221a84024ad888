"""W131: micro-batches where there is one stage, so that nothing overlaps."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W131", "micro-on-one-stage", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service."""
    for service in plan.deployment.services:
        micro = service.options.micro
        if micro is not None and micro > 1 and service.stages == 1:
            yield CODE.at(
                service.option_span("micro"),
                f"{micro} micro-batches pass one stage, one after the other",
                f"its weights are read {micro} times a step, and nothing overlaps",
                help=("leave `micro` out; `[overlap 2]` on `ep` hides communication within a stage",),
            )
