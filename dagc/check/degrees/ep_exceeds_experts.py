"""D203: an expert group has more ranks than a layer has expert slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.helpers.alternatives import axis_at, choice, claimed_gpus, downwards, with_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers
from dagc.syntax.tree import Axis
from dagc.units import counted

CODE = Code("D203", "ep-exceeds-experts")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    experts = plan.facts.model.expert_count
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if experts and factor is not None and factor.degree > experts + service.options.redundant:
            yield _diagnostic(plan, service, factor, experts)


def _diagnostic(plan: Plan, service: Service, factor: Factor, experts: int) -> Diagnostic:
    redundant = service.options.redundant
    slots = experts + redundant
    copies = f"{redundant} redundant ones" if redundant else "no redundant ones"
    what = "expert slots" if redundant else "experts"
    return CODE.at(
        factor.span,
        f"`ep {factor.degree}` has more ranks than a layer has {what}",
        f"{factor.degree - slots} of the {factor.degree} ranks would hold none",
        labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer, {copies}", "experts"),
        notes=_notes(plan, service, experts),
        offers=_offers(plan, axis_at(plan, factor.span), slots),
    )


def _notes(plan: Plan, service: Service, experts: int) -> tuple[str, ...]:
    """Experts of several layers are what people add up to such a degree."""
    note = "an expert group lives inside one stage"
    layers = plan.facts.model.layers
    if layers is None or layers < service.stages:
        return (f"{note} and splits the experts of one layer at a time",)
    held = max(stage_layers(service, layers))
    if held == 1:
        return (f"{note}, and a stage here holds one layer",)
    return (f"{note}; the {held * experts} experts of a stage's {held} layers are not one group",)


def _offers(plan: Plan, axis: Axis | None, slots: int) -> tuple[Offer, ...]:
    """As many ranks as slots, or fewer; and the degree that comes to the GPUs of the claim."""
    if axis is None:
        return ()
    (line,) = downwards(plan, axis, slots)
    largest = tuple(choice(plan, axis, degree) for degree in line)
    claimed = claimed_gpus(plan)
    if claimed is None or with_degree(plan, axis, slots) == claimed:
        return (Offer((largest,)),)
    fitting = next((d for d in range(slots, 0, -1) if with_degree(plan, axis, d) == claimed), None)
    if fitting is None:
        return (Offer((largest,)),)
    text = f"`ep {fitting}` for the {claimed} GPUs of the claim"
    return (Offer((largest, (replace(choice(plan, axis, fitting), text=text, applies=False),)), between=", or "),)
