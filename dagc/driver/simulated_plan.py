"""What simulated requests say of a plan of a search: its figures, and a verdict on each requirement."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dagc.driver.load import StrategyLoad
from dagc.driver.strategies import price_plan
from dagc.plan.plan import Facts, Plan
from dagc.plan.workload import AS_PLANNED
from dagc.results.assessment import RequirementVerdict, all_met
from dagc.results.metrics import Metrics
from dagc.results.search_result import SimulatedPlan


@dataclass(frozen=True, slots=True)
class SimulatedRequests:
    """A plan that was compiled with simulated requests; without a record where none were: of a static batch, and where
    memory is short. `load` runs others on the same plan.
    """

    record: SimulatedPlan | None
    requirements: tuple[RequirementVerdict, ...]
    metrics: Metrics | None
    load: StrategyLoad | None

    @property
    def met(self) -> bool | None:
        """Whether all requirements are met; None where that is undetermined."""
        return all_met(one.ok for one in self.requirements)


def decides(facts: Facts) -> bool:
    """Whether simulated requests decide a requirement, and other numbers of them in flight can be simulated."""
    return facts.workload.requests_per_second is None and any(one.is_of_load for one in facts.requirements)


def simulate(plan: Plan) -> SimulatedRequests:
    """Compile a plan, and simulate its requests as `dagc simulate` does."""
    sample = None if plan.facts.workload.concurrency is None else AS_PLANNED
    priced = price_plan(_closed(plan), [], lambda _: None, sample=sample)
    assessment = priced.assessment
    load, found = assessment.load, SimulatedRequests(None, assessment.requirements, assessment.metrics, priced.load)
    if load is not None:
        ttft, tpot = load.ttft.percentiles_seconds, load.tpot.percentiles_seconds
        record = SimulatedPlan(
            output_tokens_per_second=load.output_tokens_per_second,
            ttft_p50=ttft["p50"],
            ttft_p99=ttft["p99"],
            tpot_p50=tpot["p50"],
            met=found.met,
        )
        return replace(found, record=record)
    return found


def _closed(plan: Plan) -> Plan:
    """An open loop with a number of requests in flight is simulated as a closed one of that number."""
    workload = plan.facts.workload
    return replace(plan, facts=replace(plan.facts, workload=replace(workload, is_open=False)))
