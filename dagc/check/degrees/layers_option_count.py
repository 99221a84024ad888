"""D104: `[layers …]` does not give one count a stage."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_option
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.splits import split

CODE = Code("D104", "layers-option-count")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for service in plan.deployment.services:
        written = service.options.layers
        if written is not None and len(written) != service.stages:
            even = _even(plan.facts.model.layers or sum(written), service.stages)
            yield CODE.at(
                service.option_span("layers"),
                f"`layers` gives {len(written)} counts for {service.stages} stages",
                "one count for each stage",
                offers=use_option(service.option_span("layers"), even, "an even split is"),
            )


def _even(layers: int, stages: int) -> tuple[str, ...]:
    """The option with an even split, where there is one that can be read."""
    if stages > layers or stages > 64:
        return ()
    return (f"layers {' '.join(map(str, split(layers, stages)))}",)
