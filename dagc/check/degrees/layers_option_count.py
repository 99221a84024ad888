"""D104: `[layers …]` does not give one count a stage."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.splits import split

CODE = Code("D104", "layers-option-count")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for service in plan.deployment.services:
        written = service.options.layers
        if written is not None and len(written) != service.stages:
            yield CODE.at(
                service.option_span("layers"),
                f"`layers` gives {len(written)} counts for {service.stages} stages",
                "one count for each stage",
                help=_help(plan.facts.model.layers or sum(written), service.stages),
            )


def _help(layers: int, stages: int) -> tuple[str, ...]:
    if stages > layers or stages > 64:
        return ()
    return (f"an even split is `[layers {' '.join(map(str, split(layers, stages)))}]`",)
