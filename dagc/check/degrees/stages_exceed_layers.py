"""D103: more pipeline stages than layers."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import downwards, pipeline, use_degree
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D103", "stages-exceed-layers")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    layers = plan.facts.model.layers
    for service in plan.deployment.services:
        if layers is not None and service.stages > layers:
            yield _diagnostic(plan, service, layers)


def _diagnostic(plan: Plan, service: Service, layers: int) -> Diagnostic:
    axis = pipeline(plan, service)
    empty = service.stages - layers
    return CODE.at(
        axis.span if axis else service.span,
        f"`pp {service.stages}` has more stages than the model has layers",
        f"{empty} of the {service.stages} stages would hold no layer",
        labels=label(plan.facts.model.spans, f"{counted(layers, 'layer')}", "layers"),
        offers=use_degree(plan, axis.span if axis else None, downwards(plan, axis, layers)),
    )
