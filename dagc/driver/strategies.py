"""One strategy as far as the pipeline goes: its size, its rules, its memory, its graph and times.

Diagnostics are collected, never raised: a strategy that cannot be priced still has its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dagc.check.priced import check_priced
from dagc.check.static import check_plan
from dagc.cost.admission import admitted
from dagc.cost.memory import PoolMemory, rank_memory
from dagc.cost.overflow import overflows
from dagc.cost.price import CostCache, price
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.driver.front import resolve_strategy, stops
from dagc.driver.outcome import Checked, Priced, Say
from dagc.graph.graph import Graph, PhaseGraph
from dagc.graph.priced import PricedPhase
from dagc.graph.verify import verify as verify_graph
from dagc.graph.verify import verify_layers
from dagc.lower.lower import lower, lower_full_steps, lower_prompts
from dagc.lower.templates import LoweringCache
from dagc.ops.load import WIDE
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan, missing_rates, missing_shapes
from dagc.plan.workload import AS_PLANNED, LoadSample
from dagc.results.assess import assess
from dagc.results.metrics import NOTHING_ELSE, Metrics, OtherTimelines, measure, showing_slowest
from dagc.results.structure import structure
from dagc.schedule.schedule import schedule
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from dagc.schedule.verify import verify as verify_timeline
from dagc.source import Span
from dagc.syntax.tree import NamedStrategy


@dataclass(slots=True)
class Caches:
    """Templates of layers, the costs of these, and the templates with their costs as a schedule reads them.

    Templates keep the spans of the plan that built them: where diagnostics point at the text, they are not shared.
    """

    templates: LoweringCache = field(default_factory=LoweringCache)
    costs: CostCache = field(default_factory=CostCache)
    timed: TemplateCache = field(default_factory=TemplateCache)


ENTRY_BYTES = 192
"""What pricing and scheduling hold at most for one node on one rank: 24 numbers of 8 bytes (9 to 20 were measured)."""

MOST_TEMPLATES = 1_000
"""Templates whose prices are kept for other strategies; wide loads are never kept, because of their memory."""

SMALL = 64 << 20
"""Bytes that are there without a question to the system, which takes as long as a part of pricing a small plan."""

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
    deployment = resolve_strategy(strategy, problems)
    is_reported = stops([d for d in found if d.span and _holds(strategy.span, d.span)])
    found += problems
    if deployment is None or is_reported:
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


def price_plan(plan: Plan, found: list[Diagnostic], say: Say, sample: LoadSample | None = AS_PLANNED) -> Priced:
    """Memory, graph, cost, schedule, load where it is simulated, and the rules on them."""
    asked = plan
    plan, memory = size_memory(_steady(plan, say) if plan.facts.workload.is_open else plan)
    graph, timelines, replicas, others = None, None, (), NOTHING_ELSE
    if memory is not None and not missing_rates(plan):
        graph, timelines, replicas = _timelines(plan, found, say)
        others = other_timelines(plan) if timelines else others
    load = None
    if timelines and sample and plan.facts.workload.concurrency is not None:
        from dagc.driver.load import strategy_load

        say(f"simulating {plan.name}")
        load = strategy_load(asked, sample, say, found)
    assessment = assess(plan, memory, timelines, others, load.record if load else None)
    if timelines and plan.facts.workload.concurrency is not None:
        from dagc.plan.interleaving import with_varied_outputs

        if varied := with_varied_outputs(plan):
            metrics = measure(varied, timelines, other_timelines(varied))
            assessment = replace(assessment, varied_tpot=metrics.decode.seconds)
    found += check_priced(plan, assessment)
    return Priced(assessment, graph, timelines, replicas, load)


def _steady(plan: Plan, say: Say) -> Plan:
    """An open loop with the requests that are in flight in its steady state; the plan where times are not known."""
    from dagc.driver.steady import in_steady_state

    if missing_shapes(plan) or missing_rates(plan):
        return plan

    def measured(held: Plan) -> Metrics | None:
        _, timelines, _ = _timelines(held, [], say)
        if timelines is None:
            return None
        return measure(held, timelines, other_timelines(held))

    return in_steady_state(plan, admitted(plan).facts.workload.batch, measured)


def size_plan(plan: Plan, found: list[Diagnostic]) -> Priced:
    """Memory, and the rules that need no times."""
    plan, memory = size_memory(plan)
    assessment = assess(plan, memory, None)
    found += check_priced(plan, assessment)
    return Priced(assessment)


_known: list[tuple[Facts, Caches]] = []
"""Facts that were last priced under, and what their strategies leave for one another."""


def _caches_of(facts: Facts) -> Caches:
    """The caches for these facts: prices depend on nothing in which the facts of the last ones may differ."""
    names = "model", "cluster", "engine", "devices"
    for last, caches in _known:
        same = all(getattr(facts, name) is getattr(last, name) for name in names)
        if same and len(caches.costs.found) < MOST_TEMPLATES:
            return caches
    _known[:] = [(facts, Caches())]
    return _known[0][1]


def _timelines(
    plan: Plan, found: list[Diagnostic], say: Say
) -> tuple[Graph, tuple[Timeline, ...] | None, tuple[Timeline, ...]]:
    """The graph that shows the slowest class of replicas of each phase, the timelines of these, and the others."""
    say(f"lowering {plan.name}")
    graph = lower(plan)
    found += verify_graph(graph)
    if plan.facts.model.layers is not None:
        found += verify_layers(graph, plan.facts.model.layers)
    if too_large := beyond_memory(graph.classes, plan):
        found.append(too_large)
        return graph, None, ()
    say(f"pricing and scheduling {plan.name}")
    known = _caches_of(plan.facts)
    priced = tuple(price(phase, plan, known.costs) for phase in graph.classes)
    overflow = judge_overflow(priced, plan)
    if overflow:
        found.append(overflow)
        return graph, None, ()
    timelines = tuple([schedule(phase, known.timed) for phase in priced])
    if any(timeline.program.ranks > WIDE for timeline in timelines):
        _known.clear()
    for timeline in timelines:
        found += verify_timeline(timeline)
    return slowest_first(graph, timelines)


def size_memory(plan: Plan) -> tuple[Plan, tuple[PoolMemory, ...] | None]:
    """The plan with the batch that runs at once, and the memory of its ranks; None without shapes."""
    if missing_shapes(plan):
        return plan, None
    plan = admitted(plan)
    return plan, rank_memory(plan)


def other_timelines(
    plan: Plan, known: LoweringCache | None = None, timed: Callable[[PhaseGraph], Timeline] | None = None
) -> OtherTimelines:
    """Timelines beside those of the phases; `timed` prices and schedules."""
    transfer = None
    if len(plan.deployment.services) > 1:
        from dagc.lower.handover import lower_transfer

        transfer = lower_transfer(plan)
    graphs = lower_prompts(plan, known), transfer, *lower_full_steps(plan, known)
    timed = timed or (lambda phase: schedule(price(phase, plan)))
    return OtherTimelines(*[timed(phase) if phase else None for phase in graphs])


def judge_overflow(priced: Iterable[PricedPhase], plan: Plan) -> Diagnostic | None:
    """Why phases cannot be scheduled: they take too long to be counted."""
    return next((problem for phase in priced for problem in overflows(phase, plan)), None)


def beyond_memory(phases: Iterable[PhaseGraph], plan: Plan) -> Diagnostic | None:
    """Why phases are neither priced nor scheduled: they would take more than half of the memory that is available."""
    arrays = sum(phase.teams[node.team].width for phase in phases for one in phase.templates for node in one.nodes)
    needed = arrays * ENTRY_BYTES
    if needed <= SMALL:
        return None
    from dagc.memory_limit import SCHEDULE_TOO_LARGE, default_limit, size_text

    limit = default_limit()
    if needed <= limit:
        return None
    takes = f"would take {size_text(needed)} of memory; the limit is {size_text(limit)}"
    return SCHEDULE_TOO_LARGE.at(
        plan.deployment.strategy.body.outer,
        f"pricing and scheduling `{plan.name}` {takes}",
        f"{plan.deployment.gpus:,} GPUs",
        notes=("the limit is half of the memory that is available",),
        help=("use smaller degrees, or compile on a machine with more memory",),
    )


def slowest_first(
    graph: Graph, timelines: tuple[Timeline, ...]
) -> tuple[Graph, tuple[Timeline, ...], tuple[Timeline, ...]]:
    """The graph that shows the slowest class of replicas of each phase, the timelines of these, and the others."""
    shown = showing_slowest(graph, timelines)
    by_phase = {id(timeline.priced.graph): timeline for timeline in timelines}
    return shown, tuple(by_phase[id(p)] for p in shown.phases), tuple(by_phase[id(p)] for p in shown.others)
