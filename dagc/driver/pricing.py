"""A strategy's text becomes the figures and the verdict of a search: the pipeline without its checks, for many plans.

`price_plan` of `dagc.driver.strategies` has the same steps and checks each of them. A `Pricer` keeps what plans have in
common: a phase that is the same in two plans is lowered, priced and scheduled once. A `Judge` asks the rules too, and
can be sent to other processes; wherever it arrives for the second time, what it has priced there before is still known.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagc.check.engines import not_expressible
from dagc.check.static import DEGREE_RULES, refusal
from dagc.cost.admission import admitted
from dagc.cost.holding import Holding
from dagc.cost.memory import rank_memory
from dagc.cost.price import KnownCosts, price
from dagc.cost.weights import weight_bytes
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.front import resolve_strategy
from dagc.driver.strategies import beyond_memory, judge_overflow, size_memory, slowest_first
from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import PICOSECONDS, Picoseconds, PricedPhase
from dagc.lower.handover import lower_transfer
from dagc.lower.lower import lower, lower_mixed, lower_service
from dagc.lower.templates import KnownTemplates
from dagc.plan.deployment import Phase
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.assess import assess
from dagc.results.assessment import Assessment, RequirementVerdict
from dagc.results.serving import Steps, serve
from dagc.results.values import values
from dagc.schedule.schedule import schedule
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from dagc.search.candidate import Candidate, ServicePlan, smallest_with, spell
from dagc.search.checkpoint import content_key
from dagc.search.layer_parts import Parts, Work
from dagc.search.pairs import Placed
from dagc.search.space import Refusals
from dagc.search.verdict import Judged, StrategyVerdict, miss_of
from dagc.source import Source
from dagc.syntax.parser import parse

MOST_TIMELINES, MOST_TEMPLATES = 2_000, 20_000
"""Schedules and templates that a pricer keeps; then it forgets all and begins anew, so that its memory has a limit."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A strategy that has no price: the diagnostic that says why."""

    problem: Diagnostic


@dataclass(slots=True)
class _Known:
    """What was worked out before, and may be of use again."""

    templates: KnownTemplates = field(default_factory=KnownTemplates)
    costs: KnownCosts = field(default_factory=KnownCosts)
    steps: TemplateCache = field(default_factory=TemplateCache)
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

    def plan(self, strategy: str, batch: int | None = None) -> Plan | Unpriced:
        """The plan of a strategy's text, where no rule refuses it; under another batch where one is given."""
        plan = self.unchecked(strategy, batch)
        problem = None if isinstance(plan, Unpriced) else refusal(plan)
        return Unpriced(problem) if problem else plan

    def unchecked(self, strategy: str, batch: int | None = None) -> Plan | Unpriced:
        """The same, where only the text can refuse it."""
        found: list[Diagnostic] = []
        parsed = parse(Source("candidate", strategy))
        found += parsed.diagnostics
        deployment = resolve_strategy(parsed.file.strategies[0], found) if parsed.file else None
        if deployment is None:
            return Unpriced(next(problem for problem in found if problem.stops))
        return Plan(placed(deployment, self.facts.engine), under(self.facts, batch))

    def price(self, plan: Plan) -> Assessment | Unpriced:
        """Every figure of a plan; no times of one that does not fit."""
        plan, memory = size_memory(plan)
        if memory is None or any(pool.max_bytes > pool.capacity_bytes for pool in memory):
            return assess(plan, memory, None, None)
        timelines = self._times(plan)
        if isinstance(timelines, Unpriced):
            return timelines
        return assess(plan, memory, timelines, self._mixed(plan), self._transfer(plan))

    def service_seconds(self, plan: Plan, phase: Phase) -> float:
        """TTFT of the prefill service of a plan, without the KV-cache transfer, or TPOT of its decode service.

        Neither depends on the other service. Infinite where the service does not fit, 0 where it has no times.
        """
        service = plan.deployment.services[0 if phase is Phase.PREFILL else -1]
        alone = replace(plan, deployment=replace(plan.deployment, services=(service,)))
        alone = alone if phase is Phase.PREFILL else admitted(alone)
        if any(pool.max_bytes > pool.capacity_bytes for pool in rank_memory(alone)):
            return math.inf
        plan = replace(plan, facts=alone.facts)
        self._trim()
        timelines = self._scheduled(lower_service(plan, phase, self._known.templates), plan)
        if isinstance(timelines, Unpriced):
            return 0.0
        seconds = max(timeline.interval for timeline in timelines) / PICOSECONDS
        serving = serve(plan, Steps(seconds, seconds, None))
        return seconds + serving.host_seconds if phase is Phase.PREFILL else serving.tpot_seconds

    def forget_times(self) -> None:
        """Forget the schedules, and keep templates with their costs."""
        self._known.timelines.clear()

    def _trim(self) -> None:
        if len(self._known.timelines) > MOST_TIMELINES or len(self._known.templates.found) > MOST_TEMPLATES:
            self._known = _Known()

    def _times(self, plan: Plan) -> tuple[Timeline, ...] | Unpriced:
        self._trim()
        graph = lower(plan, self._known.templates)
        timelines = self._scheduled(graph.classes, plan)
        return timelines if isinstance(timelines, Unpriced) else slowest_first(graph, timelines)[1]

    def _scheduled(self, phases: Sequence[PhaseGraph], plan: Plan) -> tuple[Timeline, ...] | Unpriced:
        if too_large := beyond_memory(phases, plan):
            return Unpriced(too_large)
        found = [self._timeline(phase, plan) for phase in phases]
        timelines = tuple(one for one in found if isinstance(one, Timeline))
        if len(timelines) < len(found):
            return Unpriced(next(one for one in found if isinstance(one, Diagnostic)))
        return timelines

    def _timeline(self, phase: PhaseGraph, plan: Plan) -> Timeline | Diagnostic:
        priced = price(phase, plan, self._known.costs)
        key = _content(priced)
        known = self._known.timelines.get(key)
        if known is None:
            known = priced, judge_overflow((priced,), plan) or schedule(priced, self._known.steps, is_kept=False)
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


_JUDGES: dict[str, Judge] = {}
"""The judges of this process, by the content of their facts."""


@dataclass(slots=True)
class Judge:
    """Judges strategies under the facts of one plan; its key tells those that judge alike."""

    key: str
    pricer: Pricer
    _weights: dict[object, float] = field(default_factory=dict[object, float], repr=False)
    _parts: Parts | None = field(default=None, repr=False)
    _packed: bytes = field(default=b"", repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._packed:
            self._packed = pickle.dumps(self.pricer.facts)
        return _arrived, (self.key, self._packed)

    def verdicts(self, asked: Sequence[tuple[str, int]]) -> list[StrategyVerdict]:
        """Verdicts on strategies, each under its batch."""
        return [self.verdict(strategy, batch) for strategy, batch in asked]

    def verdict(self, strategy: str, batch: int) -> StrategyVerdict:
        """The verdict on one strategy."""
        plan = self.pricer.plan(strategy, batch)
        found = plan if isinstance(plan, Unpriced) else self.pricer.price(plan)
        if isinstance(found, Unpriced):
            return StrategyVerdict(found.problem.code.code)
        assert isinstance(plan, Plan)
        return _verdict(plan, found)

    def parts(self, asked: Sequence[Work]) -> list[Picoseconds]:
        """What parts of layers compute, each for amounts of work."""
        if self._parts is None:
            self._parts = Parts(self.pricer.facts)
        return [self._parts.times(one) for one in asked]

    def services(self, asked: Sequence[Placed]) -> list[StrategyVerdict]:
        """TTFT of prefill services and TPOT of decode services, as `Pricer.service_seconds` has them."""
        return [StrategyVerdict(None, figures=(("seconds", self._service_seconds(*one)),)) for one in asked]

    def _service_seconds(self, service: ServicePlan, batch: int, begin: int) -> float:
        plan = self.pricer.unchecked(spell(smallest_with(service, batch)), batch)
        if isinstance(plan, Unpriced):
            return 0.0
        services = [replace(one, first_rank=begin) if one.phase is service.phase else one
                    for one in plan.deployment.services]  # fmt: skip
        plan = replace(plan, deployment=replace(plan.deployment, services=tuple(services)))
        return self.pricer.service_seconds(plan, service.phase)

    @property
    def refusals(self) -> Refusals:
        """What refuses strategies before they are priced."""
        return Refusals(self.degree_refusal, self.engine_refusal if self.pricer.facts.engine else None)

    def refusal(self, strategy: str, batch: int | None = None) -> str | None:
        """The code of the rule that refuses a strategy before it is priced."""
        plan = self.pricer.plan(strategy, batch)
        return plan.problem.code.code if isinstance(plan, Unpriced) else None

    def engine_refusal(self, service: ServicePlan, batch: int) -> str | None:
        """The code of the rule that refuses one replica of a service under the engine.

        Most services are cut as the engine cannot: their sizes alone tell that, in a hundredth of the time of a text.
        """
        engine, shape = self.pricer.facts.engine, service.shape
        sizes = shape.parallelism(is_dense=self.pricer.facts.model.is_dense)
        if engine and (sizes is None or isinstance(engine.settings_of(sizes), str)):
            return not_expressible.CODE.code
        return self.refusal(spell(smallest_with(service, batch)), batch)

    def degree_refusal(self, strategy: str, batch: int | None = None) -> str | None:
        """The code of the rule on degrees that refuses a strategy; rules of an engine are not asked."""
        plan = self.pricer.unchecked(strategy, batch)
        problem = plan.problem if isinstance(plan, Unpriced) else refusal(plan, DEGREE_RULES)
        return problem.code.code if problem else None

    def weight_share(self, candidate: Candidate) -> float:
        """The share of its device that weights and reserve take on the fullest GPU.

        Weights do not depend on replicas, on attention's dp and cp, nor on the batch.
        """
        shape = candidate.services[0].shape
        key = shape.stages, shape.layers, shape.attention.tp, shape.experts, shape.form
        if key not in self._weights:
            self._weights[key] = self._weight_share(candidate)
        return self._weights[key]

    def _weight_share(self, candidate: Candidate) -> float:
        plan, shapes = self.pricer.plan(spell(candidate), candidate.batch), self.pricer.facts.model.shapes()
        if isinstance(plan, Unpriced) or shapes is None:
            return 0.0
        shares: list[float] = []
        for service in plan.deployment.services:
            for pool in service.pools:
                holding = Holding(plan, shapes, service, pool)
                held = sum(weight_bytes(holding).values(), holding.zeros()) + plan.facts.cluster.reserve_bytes
                shares.append(float(held.max()) / plan.device_of(pool).memory_bytes)
        return max(shares)


def judge_of(facts: Facts) -> Judge:
    """The judge of these facts in this process."""
    return _judge(content_key(facts), lambda: facts)


def _arrived(key: str, packed: bytes) -> Judge:
    """The judge of facts that came from another process; they are unpacked where they come for the first time."""
    return _judge(key, lambda: pickle.loads(packed))


def _judge(key: str, facts: Callable[[], Facts]) -> Judge:
    if key not in _JUDGES:
        _JUDGES.clear()
        _JUDGES[key] = Judge(key, Pricer(facts()))
    return _JUDGES[key]


def _verdict(plan: Plan, found: Assessment) -> StrategyVerdict:
    memory = found.memory
    share = memory.fullest.share if memory else None
    if share is not None and share > 1:
        return StrategyVerdict(None, share)
    figures = tuple(values(plan, found).items())
    return StrategyVerdict(None, share, figures, tuple(map(_judged, found.requirements)))


def _judged(verdict: RequirementVerdict) -> Judged:
    actual, requirement = verdict.actual.value, verdict.requirement
    if actual is None or verdict.ok is None:
        return Judged(verdict.name, actual, None)
    miss = 0.0 if verdict.ok else miss_of(actual, requirement.comparison, requirement.figure.value)
    return Judged(verdict.name, actual, miss)
