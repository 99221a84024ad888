"""Values of the metrics that are computed for every priced plan, read from a plan and its assessment.

One table for comparison, search and sensitivities, so that a metric means the same in all of them. None: undetermined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite

from dagc import metrics as of
from dagc.metrics import COMPARED, Metric
from dagc.plan.plan import Plan
from dagc.plan.workload import Per
from dagc.results.assessment import Assessment, all_met
from dagc.results.load import simulated_value
from dagc.results.metrics import Metrics, cost_of
from dagc.results.summary import Cost, PhaseRecord

Read = Callable[[Plan, Assessment], float | None]


def value(metric: Metric, plan: Plan, found: Assessment) -> float | None:
    """The value of one metric in its unit."""
    known = _READ[metric](plan, found)
    return None if known is None else float(known)


def values(plan: Plan, found: Assessment) -> dict[str, float | None]:
    """All metrics of a comparison by name."""
    return {metric.name: value(metric, plan, found) for metric in COMPARED}


def verdict(metric: Metric, found: Assessment) -> bool | None:
    """Whether the requirements that limit a metric are met; None where there are none, or nothing decides."""
    return all_met(
        one.ok
        for one in found.requirements
        if one.requirement.metric.name == (metric.requirement or metric.name)
        and (one.requirement.figure.per is Per.GPU) == metric.per_gpu
    )


def _metrics(read: Callable[[Metrics], float | None]) -> Read:
    return lambda _, found: None if found.metrics is None else read(found.metrics)


def _phase(name: str, read: Callable[[PhaseRecord], float]) -> Read:
    return _metrics(lambda metrics: read(metrics.prefill if name == "prefill" else metrics.decode))


def _load(metric: Metric) -> Read:
    """A simulated figure; none of a static batch, and none where the queue grows without end."""

    def of_plan(_: Plan, found: Assessment) -> float | None:
        known = None if found.load is None else simulated_value(found.load, metric)
        return known if known is not None and isfinite(known) else None

    return of_plan


def _cost(read: Callable[[Cost], float | None]) -> Read:
    def of_plan(plan: Plan, found: Assessment) -> float | None:
        cost = cost_of(plan, found.metrics)
        return None if cost is None else read(cost)

    return of_plan


def _memory(_: Plan, found: Assessment) -> float | None:
    """Of the GPU that holds most bytes, which a requirement on bytes limits; the fullest one may be smaller."""
    return None if found.memory is None else found.memory.max_bytes


def _at_once(plan: Plan, found: Assessment) -> float | None:
    is_static = plan.facts.workload.concurrency is None
    return None if is_static or found.metrics is None else found.metrics.serving.running


_SHARES: Mapping[Metric, Callable[[PhaseRecord], float]] = {
    of.COMMUNICATION: lambda phase: phase.critical_path.communication_share,
    of.BUBBLE: lambda phase: phase.critical_path.bubble_share,
}

_READ: Mapping[Metric, Read] = {
    of.GPUS: lambda plan, _: plan.deployment.gpus,
    of.MEMORY: _memory,
    of.REQUESTS_AT_ONCE: _at_once,
    of.TTFT: _metrics(lambda metrics: metrics.prefill.seconds),
    of.TTFT_P99: _load(of.TTFT_P99),
    of.TPOT: _metrics(lambda metrics: metrics.decode.seconds),
    of.THROUGHPUT: _metrics(lambda metrics: metrics.throughput.output_tokens_per_second),
    of.THROUGHPUT_PER_GPU: _metrics(lambda metrics: metrics.throughput.output_tokens_per_second_per_gpu),
    **{metric: _phase(phase, _SHARES[share]) for (phase, share), metric in of.PHASE_SHARES.items()},
    **{metric: _phase(phase, lambda one: one.load_balance) for phase, metric in of.LOAD_BALANCE.items()},
    of.COST_PER_HOUR: _cost(lambda cost: cost.usd_per_hour),
    of.COST_OF_TOKENS: _cost(lambda cost: cost.usd_per_million_output_tokens),
}
