"""What the rules of engines share: whether an engine is named, and where its degrees were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.helpers.alternatives import axis_at, nearest, use_degree, with_option, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.engines.profiles import Profile, profile
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind
from dagc.units import counted


def services_under(plan: Plan, *engines: str) -> Iterator[tuple[Profile, Service]]:
    """The services of a plan with the engine that it names, where that is one of these; of any without names."""
    profile = plan.facts.engine
    if profile is not None and (not engines or profile.name in engines):
        for service in plan.deployment.services:
            yield profile, service


def expert_groups(plan: Plan, *engines: str) -> Iterator[tuple[Service, Factor, int]]:
    """Services with a written `ep` above 1 on a model whose number of experts is stated, and that number."""
    experts = plan.facts.model.expert_count
    for _, service in services_under(plan, *engines):
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if experts and factor is not None and factor.degree > 1:
            yield service, factor, experts


def uneven_slots(plan: Plan, engine: str, code: Code, has_redundant: bool = True) -> Iterator[Diagnostic]:
    """A diagnostic for each service whose expert slots an engine cannot split; silent where ranks would hold none.

    `has_redundant` where the engine can hold more copies of an expert, which is then offered too.
    """
    for service, factor, experts in expert_groups(plan, engine):
        slots = experts + service.options.redundant
        if factor.degree <= slots and slots % factor.degree:
            each, rest = divmod(slots, factor.degree)
            redundant = f"redundant {slots - experts + -slots % factor.degree}" if has_redundant else ""
            yield code.at(
                factor.span,
                f"{profile(engine).title} cannot split {slots} expert slots over `ep {factor.degree}`",
                f"{slots} = {factor.degree} × {each} + {rest}: each rank needs the same number",
                labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
                offers=_even_slots(plan, factor, slots, redundant),
            )


def _even_slots(plan: Plan, factor: Factor, slots: int, option: str) -> tuple[Offer, ...]:
    """An `ep` that divides the slots, or with an option as many slots as the ranks divide."""
    axis = axis_at(plan, factor.span)
    offers = use_degree(plan, factor.span, nearest(factor.degree, lambda d: slots % d == 0, slots), applies=False)
    if axis is None or not option:
        return offers
    return tuple(replace(offer, lines=(*offer.lines, (with_option(axis, option),)), most=3) for offer in offers)
