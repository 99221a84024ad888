"""D105: `[layers …]` does not add up to the model's layers."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_option
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D105", "layers-option-sum")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where the number of counts is wrong already."""
    layers = plan.facts.model.layers
    for service in plan.deployment.services:
        written = service.options.layers
        if layers is not None and written and len(written) == service.stages and sum(written) != layers:
            yield _diagnostic(plan, service, written, layers)


def _diagnostic(plan: Plan, service: Service, written: tuple[int, ...], layers: int) -> Diagnostic:
    terms = " + ".join(map(str, written))
    last = layers - sum(written[:-1])
    options = [f"layers {' '.join(map(str, (*written[:-1], last)))}"] if last > 0 else []
    return CODE.at(
        service.option_span("layers"),
        f"`layers` places {sum(written)} layers of a model that has {layers}",
        f"{terms} = {sum(written)}",
        labels=label(plan.facts.model.spans, f"{counted(layers, 'layer')}", "layers"),
        offers=use_option(service.option_span("layers"), options, tail=f", which adds up to {layers}"),
    )
