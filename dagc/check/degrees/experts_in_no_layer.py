"""D205: a model has experts, and no layer that holds them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D205", "experts-in-no-layer")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one. Layer i holds experts where i - first_dense is moe_every - 1 modulo moe_every."""
    model = plan.facts.model
    if model.is_dense or not model.expert_count or model.layers is None:
        return
    first = model.first_dense + model.moe_every - 1
    if first >= model.layers:
        spans = model.spans
        yield CODE.at(
            next((spans[name] for name in ("moe_every", "first_dense", "layers", "model") if name in spans), None),
            f"{model.name} has {model.expert_count} experts, but no MoE layer",
            f"the first would be layer {first}, and the last layer is {model.layers - 1}",
            labels=label(spans, f"{counted(model.layers, 'layer')}", "layers"),
            help=("lower `first_dense` or `moe_every`, or write `experts 0` for a dense model",),
        )
