"""W123: a pipeline stage holds so few layers that handing over weighs against computing."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from dagc.check.helpers.alternatives import downwards, pipeline, use_degree
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers
from dagc.units import counted

CODE = Code("W123", "tiny-stages", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service with stages."""
    layers, minimum = plan.facts.model.layers, plan.facts.rules.limit("stage_layers")
    for service in plan.deployment.services:
        if layers is not None and service.stages > 1 and min(stage_layers(service, layers)) < minimum:
            yield _diagnostic(plan, service, layers, ceil(minimum))


def _diagnostic(plan: Plan, service: Service, layers: int, minimum: int) -> Diagnostic:
    axis = pipeline(plan, service)
    held = stage_layers(service, layers)
    fewer = max(1, layers // minimum)
    offers = use_degree(plan, axis.span if axis else None, downwards(plan, axis, fewer), applies=False)
    return CODE.at(
        axis.span if axis else service.span,
        f"a stage of {counted(min(held), 'layer')} has little work per message",
        f"{held.count(min(held))} of {service.stages} stages; the limit is {minimum}",
        labels=label(plan.facts.model.spans, f"{counted(layers, 'layer')}", "layers"),
        help=() if service.stages > fewer else (f"give every stage at least {minimum} layers",),
        offers=offers if service.stages > fewer else (),
    )
