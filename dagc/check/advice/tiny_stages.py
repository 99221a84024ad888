"""W123: a pipeline stage holds so few layers that handing over weighs against computing."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.alternatives import pipeline, use_degree
from dagc.check.facts import label
from dagc.check.words import counted
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers

CODE = Code("W123", "tiny-stages", Severity.WARNING)

LEAST = 4
"""Layers of a stage below which advice is given."""


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service with stages."""
    layers = plan.facts.model.layers
    for service in plan.deployment.services:
        if layers is not None and service.stages > 1 and min(stage_layers(service, layers)) < LEAST:
            yield _diagnostic(plan, service, layers)


def _diagnostic(plan: Plan, service: Service, layers: int) -> Diagnostic:
    axis = pipeline(plan, service)
    held = stage_layers(service, layers)
    fewer = max(1, layers // LEAST)
    return CODE.at(
        axis.span if axis else service.span,
        f"a stage of {counted(min(held), 'layer')} hands on after little work",
        f"{held.count(min(held))} of {service.stages} stages; {layers} layers in all",
        labels=label(plan.facts.model.spans, f"{layers} layers", "layers"),
        help=use_degree(plan, axis.span if axis else None, [fewer])
        if service.stages > fewer
        else (f"give every stage at least {LEAST} layers",),
    )
