"""W101: layers do not divide evenly over the stages."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import pipeline
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers
from dagc.units import counted

CODE = Code("W101", "layers-uneven", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; silent where the split was written, or a stage would be empty."""
    layers = plan.facts.model.layers
    for service in plan.deployment.services:
        if layers is None or service.options.layers or service.stages > layers or layers % service.stages == 0:
            continue
        held, axis = stage_layers(service, layers), pipeline(plan, service)
        yield CODE.at(
            axis.span if axis else service.span,
            f"{counted(layers, 'layer')} do not divide over {counted(service.stages, 'stage')}",
            _runs(held),
            help=(f"choose the split with `[layers {' '.join(map(str, held))}]`, or a `pp` that divides {layers}",)
            if service.stages <= 16
            else (f"use a `pp` that divides {layers}",),
        )


def _runs(held: tuple[int, ...]) -> str:
    most, least = max(held), min(held)
    return f"{counted(held.count(most), 'stage')} of {counted(most, 'layer')}, {held.count(least)} of {least}"
