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
    layers, least = plan.facts.model.layers, plan.facts.rules.limit("stage_layers")
    for service in plan.deployment.services:
        if layers is not None and service.stages > 1 and min(stage_layers(service, layers)) < least:
            yield _diagnostic(plan, service, layers, ceil(least))


def _diagnostic(plan: Plan, service: Service, layers: int, least: int) -> Diagnostic:
    axis = pipeline(plan, service)
    held = stage_layers(service, layers)
    fewer = max(1, layers // least)
    offers = use_degree(plan, axis.span if axis else None, downwards(plan, axis, fewer), applies=False)
    return CODE.at(
        axis.span if axis else service.span,
        f"a stage of {counted(min(held), 'layer')} has little work per message",
        f"{held.count(min(held))} of {service.stages} stages; the limit is {least}",
        labels=label(plan.facts.model.spans, f"{counted(layers, 'layer')}", "layers"),
        help=() if service.stages > fewer else (f"give every stage at least {least} layers",),
        offers=offers if service.stages > fewer else (),
    )
