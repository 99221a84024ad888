"""A plan becomes its figures: memory, graph, cost and schedule in their one order, without the rules on them.

`price_plan` of `dagc.driver.strategies` has the same steps and checks each of them; what a search asks of thousands of
plans is here. A `Pricer` keeps what plans have in common: a phase that is the same in two plans is lowered, priced and
scheduled once. It can be pickled, and begins with nothing known wherever it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from dagc.check.static import refusal
from dagc.cost.admission import admitted
from dagc.cost.memory import PoolMemory, rank_memory
from dagc.cost.price import KnownCosts, price
from dagc.cost.reach import judge_reach
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.front import sized
from dagc.graph.graph import Graph, PhaseGraph
from dagc.graph.priced import Picoseconds, PricedPhase
from dagc.lower.handover import lower_transfer
from dagc.lower.lower import lower, lower_mixed, lower_phase
from dagc.lower.templates import KnownTemplates
from dagc.plan.deployment import Phase
from dagc.plan.missing import missing_shapes
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.report.assess import assess
from dagc.report.assessment import Assessment
from dagc.report.metrics import showing_slowest
from dagc.schedule.limits import SCHEDULE_TOO_LARGE, default_limit, size_text
from dagc.schedule.lower_bound import KnownLeast, least
from dagc.schedule.schedule import schedule
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from dagc.source import Source
from dagc.syntax.parser import parse

ENTRY_BYTES = 192
"""What pricing and scheduling hold at most for one node on one rank: 24 numbers of 8 bytes (9 to 20 were measured)."""

MOST_TIMELINES, MOST_TEMPLATES = 2_000, 20_000
"""Schedules and templates that a pricer keeps; then it forgets all and begins anew, so that its memory has a limit."""


def weighed(plan: Plan) -> tuple[Plan, tuple[PoolMemory, ...] | None]:
    """The plan with the batch that runs at once, and the memory of its ranks; None without shapes."""
    if missing_shapes(plan):
        return plan, None
    plan = admitted(plan)
    return plan, rank_memory(plan)


def mixed_timeline(plan: Plan) -> Timeline | None:
    """The timeline of a decode step that prompts ride along with; None where none do."""
    phase = lower_mixed(plan)
    return schedule(price(phase, plan)) if phase else None


def transfer_timeline(plan: Plan) -> Timeline | None:
    """The timeline of the KV-cache transfer of one request; None where there is none, or load is not asked for."""
    phase = lower_transfer(plan)
    return schedule(price(phase, plan)) if phase else None


def out_of_reach(priced: Iterable[PricedPhase], plan: Plan) -> Diagnostic | None:
    """Why phases cannot be scheduled: they take too long to be counted."""
    return next((problem for phase in priced for problem in judge_reach(phase, plan)), None)


def beyond_memory(graph: Graph, plan: Plan) -> Diagnostic | None:
    """Why a graph is neither priced nor scheduled: it would take more than half of the memory that is available."""
    arrays = sum(
        phase.teams[node.team].width for phase in graph.classes for one in phase.templates for node in one.nodes
    )
    needed, limit = arrays * ENTRY_BYTES, default_limit()
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


@dataclass(frozen=True, slots=True)
class Refused:
    """A strategy that has no price: the diagnostic that says why."""

    problem: Diagnostic


@dataclass(slots=True)
class _Known:
    """What was worked out before, and may be of use again."""

    templates: KnownTemplates = field(default_factory=KnownTemplates)
    costs: KnownCosts = field(default_factory=KnownCosts)
    steps: TemplateCache = field(default_factory=TemplateCache)
    least: KnownLeast = field(default_factory=KnownLeast)
    timelines: dict[object, tuple[PricedPhase, Timeline | Diagnostic]] = field(
        default_factory=dict[object, "tuple[PricedPhase, Timeline | Diagnostic]"]
    )


@dataclass(slots=True)
class Pricer:
    """Prices strategies under the facts of one plan, whose model has shapes and whose cluster has rates."""

    facts: Facts
    _known: _Known = field(default_factory=_Known, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pricer, (self.facts,)

    def plan(self, strategy: str, batch: int | None = None) -> Plan | Refused:
        """The plan of a strategy's text, where no rule refuses it; under another batch where one is given."""
        plan = self.unchecked(strategy, batch)
        problem = None if isinstance(plan, Refused) else refusal(plan)
        return Refused(problem) if problem else plan

    def unchecked(self, strategy: str, batch: int | None = None) -> Plan | Refused:
        """The same, where only the text can refuse it."""
        found: list[Diagnostic] = []
        parsed = parse(Source("candidate", strategy))
        found += parsed.diagnostics
        deployment = sized(parsed.file.strategies[0], found) if parsed.file else None
        if deployment is None:
            return Refused(next(problem for problem in found if problem.stops))
        return Plan(placed(deployment, self.facts.engine), under(self.facts, batch))

    def price(self, plan: Plan) -> Assessment | Refused:
        """Every figure of a plan; no times of one that does not fit."""
        plan, memory = weighed(plan)
        if memory is None or any(pool.max_bytes > pool.capacity_bytes for pool in memory):
            return assess(plan, memory, None, None)
        timelines = self._times(plan)
        if isinstance(timelines, Refused):
            return timelines
        return assess(plan, memory, timelines, self._mixed(plan), self._transfer(plan))

    def least(self, plan: Plan, phase: Phase) -> Picoseconds:
        """Least times of the layers in a phase, for a plan of one replica, one stage and one size of micro-batch."""
        self._trim()
        known = self._known
        return least(price(lower_phase(plan, phase, known.templates), plan, known.costs), known.least)

    def forget_times(self) -> None:
        """Forget the schedules, and keep templates with their costs."""
        self._known.timelines.clear()

    def _trim(self) -> None:
        if len(self._known.timelines) > MOST_TIMELINES or len(self._known.templates.found) > MOST_TEMPLATES:
            self._known = _Known()

    def _times(self, plan: Plan) -> tuple[Timeline, ...] | Refused:
        self._trim()
        graph = lower(plan, self._known.templates)
        if too_large := beyond_memory(graph, plan):
            return Refused(too_large)
        found = [self._timeline(phase, plan) for phase in graph.classes]
        timelines = tuple(one for one in found if isinstance(one, Timeline))
        if len(timelines) < len(found):
            return Refused(next(one for one in found if isinstance(one, Diagnostic)))
        return slowest_first(graph, timelines)[1]

    def _timeline(self, phase: PhaseGraph, plan: Plan) -> Timeline | Diagnostic:
        priced = price(phase, plan, self._known.costs)
        key = _content(priced)
        known = self._known.timelines.get(key)
        if known is None:
            known = priced, out_of_reach((priced,), plan) or schedule(priced, self._known.steps, is_kept=False)
            self._known.timelines[key] = known
        held, timeline = known
        return replace(timeline, priced=priced) if held is not priced and isinstance(timeline, Timeline) else timeline

    def _mixed(self, plan: Plan) -> Timeline | None:
        phase = lower_mixed(plan, self._known.templates)
        return schedule(price(phase, plan, self._known.costs), self._known.steps, is_kept=False) if phase else None

    def _transfer(self, plan: Plan) -> Timeline | None:
        phase = lower_transfer(plan)
        return schedule(price(phase, plan, self._known.costs), self._known.steps, is_kept=False) if phase else None


def under(facts: Facts, batch: int | None) -> Facts:
    """The facts with another batch; a concurrency is the same number."""
    if batch is None or batch == facts.workload.batch:
        return facts
    concurrency = None if facts.workload.concurrency is None else batch
    return replace(facts, workload=replace(facts.workload, batch=batch, concurrency=concurrency))


def _content(priced: PricedPhase) -> object:
    """All that the times of a phase depend on. Costs are known by who they are, and held with what is known."""
    graph = priced.graph
    teams = tuple([(team.pool, team.stage, team.width) for team in graph.teams])
    costs = tuple(map(id, priced.costs))
    return graph.phase, graph.service, teams, costs, graph.programs, graph.micro_batches
