"""One strategy as far as the pipeline goes: its size, its rules, its memory, its graph and times.

Diagnostics are collected, never raised: a strategy that cannot be priced still has its size.
"""

from __future__ import annotations

from collections.abc import Callable

from dagc.check.priced import check_priced
from dagc.check.static import check_plan
from dagc.cost.price import price
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.driver.front import sized, stops
from dagc.driver.outcome import Checked, Priced, Say
from dagc.driver.pricing import beyond_memory, mixed_timeline, out_of_reach, slowest_first, transfer_timeline, weighed
from dagc.graph.graph import Graph
from dagc.graph.verify import verify as verify_graph
from dagc.graph.verify import verify_layers
from dagc.lower.lower import lower
from dagc.plan.missing import missing_rates
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.report.assess import assess
from dagc.report.structure import structure
from dagc.schedule.schedule import schedule
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from dagc.schedule.verify import verify as verify_timeline
from dagc.source import Span
from dagc.syntax.tree import NamedStrategy

Pricing = Callable[[Plan, list[Diagnostic]], Priced]
"""What is worked out of a plan that no static rule refuses; the list collects what the rules on it find."""


def check_strategy(
    strategy: NamedStrategy, facts: Facts, found: list[Diagnostic], pricing: Pricing | None
) -> Checked | None:
    """One strategy as far as it goes; `found` collects the diagnostics of those without a meaning too.

    Without `pricing` nothing is priced, because the plan is wrong elsewhere: what then follows from the text and from
    the facts that are known is still found.
    """
    problems: list[Diagnostic] = []
    deployment = sized(strategy, problems)
    is_told = stops([d for d in found if d.span and _holds(strategy.span, d.span)])
    found += problems
    if deployment is None or is_told:
        return None
    plan = Plan(placed(deployment, facts.engine), facts)
    own = list(check_plan(plan))
    if stops(own) or pricing is None:
        found += own if stops(own) else [*own, *check_priced(plan, assess(plan, None, None))]
        return None
    priced = pricing(plan, own)
    found += own
    return Checked(plan, priced, in_order([*problems, *own]), structure(plan.deployment))


def _holds(outer: Span, inner: Span) -> bool:
    return outer.source is inner.source and outer.start <= inner.start and inner.end <= outer.end


def price_plan(plan: Plan, found: list[Diagnostic], say: Say) -> Priced:
    """Memory, graph, cost, schedule, and the rules on them."""
    plan, memory = weighed(plan)
    graph, timelines, others, mixed, transfer = None, None, (), None, None
    if memory is not None and not missing_rates(plan):
        graph, timelines, others = _timelines(plan, found, say)
        mixed, transfer = (mixed_timeline(plan), transfer_timeline(plan)) if timelines else (None, None)
    assessment = assess(plan, memory, timelines, mixed, transfer)
    found += check_priced(plan, assessment)
    return Priced(assessment, graph, timelines, others)


def size_plan(plan: Plan, found: list[Diagnostic]) -> Priced:
    """Memory, and the rules that need no times."""
    plan, memory = weighed(plan)
    assessment = assess(plan, memory, None)
    found += check_priced(plan, assessment)
    return Priced(assessment)


def _timelines(
    plan: Plan, found: list[Diagnostic], say: Say
) -> tuple[Graph, tuple[Timeline, ...] | None, tuple[Timeline, ...]]:
    """The graph that shows the slowest class of replicas of each phase, the timelines of these, and the others."""
    say(f"lowering {plan.name}")
    graph = lower(plan)
    found += verify_graph(graph)
    if plan.facts.model.layers is not None:
        found += verify_layers(graph, plan.facts.model.layers)
    if too_large := beyond_memory(graph, plan):
        found.append(too_large)
        return graph, None, ()
    say(f"pricing and scheduling {plan.name}")
    priced = tuple(price(phase, plan) for phase in graph.classes)
    unreachable = out_of_reach(priced, plan)
    if unreachable:
        found.append(unreachable)
        return graph, None, ()
    cache = TemplateCache()
    timelines = tuple([schedule(phase, cache) for phase in priced])
    for timeline in timelines:
        found += verify_timeline(timeline)
    return slowest_first(graph, timelines)
