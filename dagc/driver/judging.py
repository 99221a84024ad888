"""A strategy's text becomes a verdict of the search: refused by a rule, or its figures and what requirements say.

A `Judge` can be sent to other processes; wherever it arrives for the second time, what it has priced there before is
still known.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dagc.check.engines import not_expressible
from dagc.check.static import DEGREE_RULES, refusal
from dagc.cost.holding import Holding
from dagc.cost.weights import weight_bytes
from dagc.driver.parts import Parts, Work, parts_of
from dagc.driver.pricing import Pricer, Refused, weighed
from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts, Plan
from dagc.report.assessment import Assessment, RequirementVerdict
from dagc.report.values import values
from dagc.search.bounds import PHASES, Asked, Cut
from dagc.search.candidate import Candidate, ServicePlan, smallest_with
from dagc.search.content import content_key
from dagc.search.families import Refusals
from dagc.search.spelling import spell
from dagc.search.verdict import Judged, Verdict, miss_of

_JUDGES: dict[str, Judge] = {}
"""The judges of this process, by the content of their facts."""


@dataclass(slots=True)
class Judge:
    """Judges strategies under the facts of one plan; its key tells those that judge alike."""

    key: str
    pricer: Pricer
    _weights: dict[object, float] = field(default_factory=dict[object, float], repr=False)
    _cuts: dict[str, Plan] = field(default_factory=dict[str, Plan], repr=False)
    _parts: Parts | None = field(default=None, repr=False)
    _packed: bytes = field(default=b"", repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._packed:
            self._packed = pickle.dumps(self.pricer.facts)
        return _arrived, (self.key, self._packed)

    def verdicts(self, asked: Sequence[tuple[str, int]]) -> list[Verdict]:
        """Verdicts on strategies, each under its batch."""
        return [self.verdict(strategy, batch) for strategy, batch in asked]

    def verdict(self, strategy: str, batch: int) -> Verdict:
        """The verdict on one strategy."""
        plan = self.pricer.plan(strategy, batch)
        found = plan if isinstance(plan, Refused) else self.pricer.price(plan)
        if isinstance(found, Refused):
            return Verdict(found.problem.code.code)
        assert isinstance(plan, Plan)
        return _verdict(plan, found)

    def parts(self, asked: Sequence[Work]) -> list[Picoseconds]:
        """What parts of layers compute, each for amounts of work."""
        if self._parts is None:
            self._parts = parts_of(self.pricer.facts)
        return [self._parts.times(one) for one in asked]

    def least(self, asked: Sequence[Asked]) -> list[Picoseconds]:
        """Least times of cuts, each of a micro-batch of so many sequences, wherever no rank is slowed.

        Each has shape (phases, 4, layers + 1), phases as in `dagc.search.bounds.PHASES`.
        """
        return [self._least(cut, sequences) for cut, sequences in asked]

    def _least(self, cut: Cut, sequences: int) -> Picoseconds:
        """A static batch of one micro-batch on one stage of all layers."""
        plan, facts = self._cut_plan(cut), self.pricer.facts
        workload = replace(facts.workload, batch=sequences, concurrency=None)
        facts = replace(facts, workload=workload, cluster=replace(facts.cluster, slowed=()))
        plan = replace(plan, facts=facts)
        found = {phase: self.pricer.least(plan, phase) for phase in PHASES if cut.phase in (phase, Phase.BOTH)}
        none = np.zeros_like(next(iter(found.values())))
        return np.stack([found.get(phase, none) for phase in PHASES])

    def _cut_plan(self, cut: Cut) -> Plan:
        """The plan of a cut, for whatever number of sequences."""
        text = spell(Candidate((cut.service,), 1))
        if text not in self._cuts:
            found = self.pricer.unchecked(text)
            if isinstance(found, Refused):
                raise ValueError(f"a cut of a legal strategy is refused: {found.problem.message}")
            self._cuts[text] = found
        plan = self._cuts[text]
        (service,) = plan.deployment.services
        begun = replace(plan.deployment, services=(replace(service, first_rank=cut.begin),))
        return replace(plan, deployment=begun)

    @property
    def refusals(self) -> Refusals:
        """What refuses strategies before they are priced."""
        return Refusals(self.degree_refusal, self.engine_refusal if self.pricer.facts.engine else None)

    def refusal(self, strategy: str, batch: int | None = None) -> str | None:
        """The code of the rule that refuses a strategy before it is priced."""
        plan = self.pricer.plan(strategy, batch)
        return plan.problem.code.code if isinstance(plan, Refused) else None

    def engine_refusal(self, service: ServicePlan, batch: int) -> str | None:
        """The code of the rule that refuses one replica of a service under the engine.

        Most services are cut as the engine cannot: their sizes alone tell that, in a hundredth of the time of a text.
        """
        engine, shape = self.pricer.facts.engine, service.shape
        sizes = shape.sizes(is_dense=self.pricer.facts.model.is_dense)
        if engine and (sizes is None or isinstance(engine.settings_of(sizes), str)):
            return not_expressible.CODE.code
        return self.refusal(spell(smallest_with(service, batch)), batch)

    def degree_refusal(self, strategy: str, batch: int | None = None) -> str | None:
        """The code of the rule on degrees that refuses a strategy; rules of an engine are not asked."""
        plan = self.pricer.unchecked(strategy, batch)
        problem = plan.problem if isinstance(plan, Refused) else refusal(plan, DEGREE_RULES)
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

    def service_share(self, service: ServicePlan, batch: int) -> float:
        """The share of its device that the fullest GPU of a prefill or decode service holds; 0 where that is unknown.

        Of a static batch it is the same whatever is beside the service. What a prefill service holds of requests that
        come and go depends on how many the other runs.
        """
        is_first = service.phase is Phase.PREFILL
        if is_first and self.pricer.facts.workload.concurrency is not None:
            return 0.0
        plan = self.pricer.unchecked(spell(smallest_with(service, batch)), batch)
        if isinstance(plan, Refused):
            return 0.0
        memory = weighed(plan)[1] or ()
        own = {pool.name for pool in plan.deployment.services[0 if is_first else 1].pools}
        return max((pool.max_bytes / pool.capacity_bytes for pool in memory if pool.pool in own), default=0.0)

    def _weight_share(self, candidate: Candidate) -> float:
        plan, shapes = self.pricer.plan(spell(candidate), candidate.batch), self.pricer.facts.model.shapes()
        if isinstance(plan, Refused) or shapes is None:
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


def _verdict(plan: Plan, found: Assessment) -> Verdict:
    memory = found.memory
    share = memory.fullest.share if memory else None
    if share is not None and share > 1:
        return Verdict(None, share)
    figures = tuple(values(plan, found).items())
    return Verdict(None, share, figures, tuple(map(_judged, found.requirements)))


def _judged(verdict: RequirementVerdict) -> Judged:
    actual, requirement = verdict.actual.value, verdict.requirement
    if actual is None or verdict.ok is None:
        return Judged(verdict.name, actual, None)
    miss = 0.0 if verdict.ok else miss_of(actual, requirement.comparison, requirement.figure.value)
    return Judged(verdict.name, actual, miss)
