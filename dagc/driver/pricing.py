"""A strategy's text becomes the figures and the verdict of a search: the pipeline without its checks, for many plans.

`price_plan` of `dagc.driver.strategies` has the same steps and checks each of them. A `Judge` keeps what plans have in
common: templates of layers, and costs of operators, are known by their content. It can be sent to other processes;
wherever it arrives for the second time, what it has lowered and priced there before is still known.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagc.check.engines import not_expressible
from dagc.check.static import OF_DEGREES, REFUSING, refusal
from dagc.cost.holding import Holding
from dagc.cost.price import price
from dagc.cost.weights import weight_bytes
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.front import resolve_strategy
from dagc.driver.strategies import Caches, beyond_memory, judge_overflow, other_timelines, size_memory, slowest_first
from dagc.driver.tightening import running, tightened
from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import PICOSECONDS, Picoseconds, PricedPhase
from dagc.lower.lower import lower, lower_service
from dagc.metrics import BUBBLE, COMMUNICATION, COMPARED, OBJECTIVES, Metric
from dagc.plan.deployment import Phase
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.assess import assess
from dagc.results.assessment import RequirementVerdict
from dagc.results.serving import Steps, serve
from dagc.results.values import value
from dagc.schedule.schedule import schedule, schedule_times
from dagc.schedule.timeline import Timeline
from dagc.search.bounds import LowerBounds, ServiceBound
from dagc.search.candidate import Candidate, ServicePlan, smallest_with, spell
from dagc.search.checkpoint import content_key
from dagc.search.layer_parts import Parts, Work
from dagc.search.pairs import Placed
from dagc.search.space import Refusals
from dagc.search.verdict import Judged, StrategyVerdict, miss_of
from dagc.source import Source
from dagc.syntax.parser import parse

MOST_TEMPLATES = 20_000
"""Templates that a judge keeps; then it drops all of them, so that its memory has a limit."""

_TIMED, _SHARED = frozenset(OBJECTIVES), frozenset({COMMUNICATION, BUBBLE})
"""Figures that makespan and interval of each phase decide, and requirements that they do not."""


_JUDGES: dict[str, Judge] = {}
"""The judges of this process, by the content of their facts."""


@dataclass(slots=True)
class Judge:
    """Judges strategies under the facts of one plan, whose model has shapes and whose cluster has rates.

    Its key is equal for those that judge alike.
    """

    key: str
    facts: Facts
    _caches: Caches = field(default_factory=Caches, repr=False)
    _weights: dict[object, float] = field(default_factory=dict[object, float], repr=False)
    _parts: Parts | None = field(default=None, repr=False)
    _bounds: LowerBounds | None = field(default=None, repr=False)
    _plans: dict[tuple[ServicePlan, int], Plan | Diagnostic] = field(
        default_factory=dict[tuple[ServicePlan, int], "Plan | Diagnostic"], repr=False
    )
    _packed: bytes = field(default=b"", repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._packed:
            self._packed = pickle.dumps(self.facts)
        return _arrived, (self.key, self._packed)

    def plan(self, strategy: str, batch: int | None = None) -> Plan | Diagnostic:
        """The plan of a strategy's text, under another batch where one is given; why the text alone refuses it."""
        found: list[Diagnostic] = []
        parsed = parse(Source("candidate", strategy))
        found += parsed.diagnostics
        deployment = resolve_strategy(parsed.file.strategies[0], found) if parsed.file else None
        if deployment is None:
            return next(problem for problem in found if problem.stops)
        return Plan(placed(deployment, self.facts.engine), _under(self.facts, batch))

    def verdicts(self, asked: Sequence[tuple[str, int]]) -> list[StrategyVerdict]:
        """Verdicts on strategies, each under its batch, with the objectives as figures."""
        return [self.verdict(strategy, batch, OBJECTIVES) for strategy, batch in asked]

    def verdict(self, strategy: str, batch: int, figures: Sequence[Metric] = COMPARED) -> StrategyVerdict:
        """The verdict on one strategy with some figures; none of one that does not fit.

        Objectives need no shares, and what requires none of these is scheduled in half the time.
        """
        plan = self.plan(strategy, batch)
        problem = plan if isinstance(plan, Diagnostic) else refusal(plan)
        if isinstance(plan, Diagnostic) or problem:
            return StrategyVerdict(problem.code.code if problem else None)
        plan, memory = size_memory(plan)
        share = max((pool.share for pool in memory or ()), default=None)
        if share is not None and share > 1:
            return StrategyVerdict(None, share)
        self._trim()
        graph = lower(plan, self._caches.templates)
        required = {one.metric for one in self.facts.requirements}
        scheduled = self._times if _TIMED.issuperset(figures) and not required & _SHARED else self._schedule
        timelines = self._schedules(graph.classes, plan, scheduled)
        if isinstance(timelines, Diagnostic):
            return StrategyVerdict(timelines.code.code)
        others = other_timelines(plan, self._caches.templates, lambda phase: self._times(self._priced(phase, plan)))
        found = assess(plan, memory, slowest_first(graph, timelines)[1], others)
        known = tuple((metric.name, value(metric, plan, found)) for metric in figures)
        return StrategyVerdict(None, share, known, tuple(map(judged, found.requirements)))

    def _schedules(
        self, phases: Sequence[PhaseGraph], plan: Plan, scheduled: Callable[[PricedPhase], Timeline]
    ) -> tuple[Timeline, ...] | Diagnostic:
        """The timelines of phases, or why they have none."""
        if too_large := beyond_memory(phases, plan):
            return too_large
        priced = [self._priced(phase, plan) for phase in phases]
        return judge_overflow(priced, plan) or tuple(map(scheduled, priced))

    def _priced(self, phase: PhaseGraph, plan: Plan) -> PricedPhase:
        return price(phase, plan, self._caches.costs)

    def _schedule(self, phase: PricedPhase) -> Timeline:
        return schedule(phase, self._caches.timed, is_kept=False)

    def _times(self, phase: PricedPhase) -> Timeline:
        return schedule_times(phase, self._caches.timed)

    def _trim(self) -> None:
        if len(self._caches.templates.found) > MOST_TEMPLATES:
            self._caches = Caches()

    def parts(self, asked: Sequence[Work]) -> list[Picoseconds]:
        """What parts of layers compute, each for amounts of work."""
        if self._parts is None:
            self._parts = Parts(self.facts)
        return [self._parts.times(one) for one in asked]

    def tighten(self, asked: Sequence[tuple[ServicePlan, int]]) -> list[ServiceBound]:
        """Bounds of services, each under a batch, that know their memory."""
        if self._bounds is None:
            self._bounds = LowerBounds(self.facts, self.parts)
        plans = [(service, self._plan_of(service, batch)) for service, batch in asked]
        found = [None if isinstance(plan, Diagnostic) else running(service, plan) for service, plan in plans]
        return tightened(self._bounds, found)

    def _plan_of(self, service: ServicePlan, batch: int) -> Plan | Diagnostic:
        """The plan of a service alone, or with one GPU of the other phase. Micro-batches and overlap change nothing of
        it but the options, so that a text with each is not read.
        """
        options = service.options
        plain = replace(service, options=replace(options, micro=None, overlap=1))
        key = plain, batch
        if key not in self._plans:
            if len(self._plans) > MOST_TEMPLATES:
                self._plans.clear()
            self._plans[key] = self.plan(spell(smallest_with(plain, batch)), batch)
        plan = self._plans[key]
        if isinstance(plan, Diagnostic) or plain == service:
            return plan
        place = 0 if service.phase is not Phase.DECODE else -1
        services = list(plan.deployment.services)
        own = replace(services[place].options, micro=options.micro, overlap=options.overlap)
        services[place] = replace(services[place], options=own)
        return replace(plan, deployment=replace(plan.deployment, services=tuple(services)))

    def services(self, asked: Sequence[Placed]) -> list[StrategyVerdict]:
        """Seconds of prefill and decode services, as `pairs.SecondsOf` has them."""
        return [StrategyVerdict(None, figures=(("seconds", self._service_seconds(*one)),)) for one in asked]

    def _service_seconds(self, service: ServicePlan, batch: int, begin: int) -> float:
        """TTFT of a prefill service, without the KV-cache transfer, or TPOT of a decode service.

        Neither depends on the other service. Infinite where the service does not fit, 0 where it has no times.
        """
        plan, phase = self.plan(spell(smallest_with(service, batch)), batch), service.phase
        if isinstance(plan, Diagnostic):
            return 0.0
        services = [replace(one, first_rank=begin) if one.phase is phase else one for one in plan.deployment.services]
        plan = replace(plan, deployment=replace(plan.deployment, services=tuple(services)))
        known = running(service, plan)
        if known is None:
            return math.inf
        plan = known.plan
        self._trim()
        timelines = self._schedules(lower_service(plan, phase, self._caches.templates), plan, self._times)
        if isinstance(timelines, Diagnostic):
            return 0.0
        seconds = max(timeline.interval for timeline in timelines) / PICOSECONDS
        serving = serve(plan, Steps(seconds, seconds, None))
        return seconds + serving.host_seconds if phase is Phase.PREFILL else serving.tpot_seconds

    @property
    def refusals(self) -> Refusals:
        """What refuses strategies before they are priced."""
        return Refusals(self.degree_refusal, self.engine_refusal if self.facts.engine else None)

    def engine_refusal(self, service: ServicePlan, batch: int) -> str | None:
        """The code of the rule that refuses one replica of a service under the engine.

        Most services are cut as the engine cannot: their sizes alone show that, in a hundredth of the time of a text.
        """
        engine, shape = self.facts.engine, service.shape
        sizes = shape.parallelism(is_dense=self.facts.model.is_dense)
        if engine and (sizes is None or isinstance(engine.settings_of(sizes), str)):
            return not_expressible.CODE.code
        return self.refusal(spell(smallest_with(service, batch)), batch)

    def degree_refusal(self, strategy: str, batch: int | None = None) -> str | None:
        """The code of the rule on degrees that refuses a strategy; rules of an engine are not asked."""
        return self.refusal(strategy, batch, OF_DEGREES)

    def refusal(self, strategy: str, batch: int | None = None, families: tuple[str, ...] = REFUSING) -> str | None:
        """The code of the rule that refuses a strategy before it is priced."""
        plan = self.plan(strategy, batch)
        problem = plan if isinstance(plan, Diagnostic) else refusal(plan, families)
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
        plan, shapes = self.plan(spell(candidate), candidate.batch), self.facts.model.shapes()
        if isinstance(plan, Diagnostic) or refusal(plan) or shapes is None:
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
        _JUDGES[key] = Judge(key, facts())
    return _JUDGES[key]


def _under(facts: Facts, batch: int | None) -> Facts:
    """The facts with another batch; a concurrency is the same number."""
    if batch is None or batch == facts.workload.batch:
        return facts
    concurrency = None if facts.workload.concurrency is None else batch
    return replace(facts, workload=replace(facts.workload, batch=batch, concurrency=concurrency))


def judged(verdict: RequirementVerdict) -> Judged:
    """A verdict on a requirement as a search has it."""
    actual, requirement = verdict.actual.value, verdict.requirement
    if actual is None or verdict.ok is None:
        return Judged(verdict.name, actual, None)
    if math.isinf(actual):
        return Judged(verdict.name, None, float(not verdict.ok))
    miss = 0.0 if verdict.ok else miss_of(actual, requirement.comparison, requirement.figure.value)
    return Judged(verdict.name, actual, miss)
