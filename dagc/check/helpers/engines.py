"""What the rules of engines share: whether an engine is named, and where its degrees were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.helpers.alternatives import axis_at, nearest, use_degree, with_option, written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.engines.engine import Engine
from dagc.plan.deployment import Phase, Service
from dagc.plan.instances import instance_of
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.units import counted


def services_under(plan: Plan, rule: Code | None = None) -> Iterator[tuple[Engine, Service]]:
    """The services of a plan with the engine that it names, where a rule holds for that; without a rule, for any."""
    engine = plan.facts.engine
    if engine is not None and (rule is None or rule.name in engine.rules):
        for service in plan.deployment.services:
            yield engine, service


def decode_exchanges(plan: Plan, rule: Code | None = None) -> Iterator[tuple[Engine, Service, int]]:
    """Services that send tokens by kernels of low latency in decode, with the most tokens of a rank in a step.

    That is one for each sequence, and one for each draft. Silent where the workload is the default, or has no limit.
    """
    workload = plan.facts.workload
    if "workload" in plan.facts.defaulted or workload.is_open:
        return
    for engine, service in services_under(plan, rule):
        attention, experts = service.attention_pool.attention, service.experts_pool.experts
        if service.phase is Phase.PREFILL or attention is None or experts is None:
            continue
        if not engine.runtime.has_low_latency(is_both=service.phase is Phase.BOTH):
            continue
        instance = instance_of(plan.deployment, service, plan.facts.model)
        if (
            instance is not None
            and engine.dispatches(instance, plan.facts.cluster.gpus_per_node)
            and experts.degrees.ep == service.experts_pool.width > 1
        ):
            ranks = plan.deployment.replicas * service.replicas * attention.dp
            yield engine, service, -(-workload.batch // ranks) * (1 + workload.drafted)


def expert_groups(plan: Plan, rule: Code) -> Iterator[tuple[Engine, Service, Factor, int]]:
    """Services with a written `ep` above 1 on a model whose number of experts is stated, and that number."""
    experts = plan.facts.model.expert_count
    for engine, service in services_under(plan, rule):
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if experts and factor is not None and factor.degree > 1:
            yield engine, service, factor, experts


def uneven_slots(plan: Plan, rule: Code) -> Iterator[Diagnostic]:
    """A diagnostic for each service whose expert slots an engine cannot split; silent where ranks would hold none."""
    for engine, service, factor, experts in expert_groups(plan, rule):
        slots = experts + service.options.redundant
        if factor.degree <= slots and slots % factor.degree:
            each, rest = divmod(slots, factor.degree)
            option = None if "redundant" in engine.lacks else f"redundant {slots - experts + -slots % factor.degree}"
            yield rule.at(
                factor.span,
                f"{engine.title} cannot split {slots} expert slots over `ep {factor.degree}`",
                f"{slots} = {factor.degree} × {each} + {rest}: each rank needs the same number",
                labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
                offers=_even_slots(plan, factor, slots, option),
            )


def context_parallel(plan: Plan, rule: Code, of: str, reason: str) -> Iterator[Diagnostic]:
    """A diagnostic for each service with a written `cp` above 1; the engine has it `of` one kind of attention only."""
    for engine, service in services_under(plan, rule):
        factor = written_factor(service.attention_pool.attention, AxisKind.CP)
        if factor is not None and factor.degree > 1:
            yield rule.at(factor.span, f"{engine.title} {of} only", reason, help=("use `tp` or `dp` in its place",))


def _even_slots(plan: Plan, factor: Factor, slots: int, option: str | None) -> tuple[Offer, ...]:
    """An `ep` that divides the slots, or the option that makes as many slots as the ranks divide."""
    axis = axis_at(plan, factor.span)
    dividing = nearest(factor.degree, lambda d: slots % d == 0, slots)
    degrees = use_degree(plan, factor.span, dividing, applies=False)
    if option is None or axis is None:
        return degrees
    return tuple(replace(one, lines=(*one.lines, (with_option(axis, option),)), most=3) for one in degrees)
