"""D441: Megatron-Core needs as many layers on each stage, or a layout."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import add_option, pipeline
from dagc.check.helpers.engines import services_under
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers
from dagc.units import counted

CODE = Code("D441", "megatron-layers-uneven")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where the split was written, or a stage would be empty."""
    layers = plan.facts.model.layers
    for engine, service in services_under(plan, CODE):
        if layers is None or service.options.layers or service.stages > layers or layers % service.stages == 0:
            continue
        axis = pipeline(plan, service)
        held = " ".join(map(str, _ends(layers, service.stages) or stage_layers(service, layers)))
        yield CODE.at(
            axis.span if axis else service.span,
            f"{engine.title} cannot split {layers} layers over {counted(service.stages, 'stage')} evenly",
            f"{layers} / {service.stages} = {layers / service.stages:g}",
            labels=label(plan.facts.model.spans, f"{counted(layers, 'layer')}", "layers"),
            help=(f"or use a `pp` that divides {layers}",),
            offers=add_option(plan, axis.span if axis else None, f"layers {held}", "write the split, as in"),
        )


def _ends(layers: int, stages: int) -> tuple[int, ...] | None:
    """A split that Megatron-Core's flags can say: the first and last stage apart, those between alike."""
    between = -(-layers // stages)
    left = layers - between * (stages - 2)
    return (left // 2 + left % 2, *(between,) * (stages - 2), left // 2) if left > 1 else None
