"""A priced plan becomes its `Summary`: the structure, the figures, the verdicts, and what stayed undetermined.

Arranges what other modules found; it computes nothing. Rows of requirements and claims stand in written order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.jsonout import to_json
from dagc.metrics import TtftDefinition
from dagc.plan.plan import Plan
from dagc.report import summary as out
from dagc.report.assessment import Assessment, RequirementVerdict, Verdict
from dagc.report.cost import cost_of
from dagc.report.facts import facts_data
from dagc.report.memory_summary import memory_summary
from dagc.report.metrics import Metrics, PhaseMetrics, Throughput
from dagc.report.structure import structure

if TYPE_CHECKING:
    from dagc.cost.limits import MemoryLimits


def summarize(
    plan: Plan, found: Assessment, diagnostics: Iterable[Diagnostic] = (), limits: MemoryLimits | None = None
) -> out.Summary:
    """Everything about one strategy, from what its assessment found; `limits` where they were asked for."""
    metrics = found.metrics
    return out.Summary(
        **structure(plan),
        memory=memory_summary(found.memory, limits, found.admitted) if found.memory else None,
        phases=_phases(metrics, plan.facts.workload.ttft_definition) if metrics else None,
        throughput=_throughput(metrics.throughput, plan.deployment.gpus) if metrics else None,
        serving=_serving(metrics) if metrics else None,
        cost=_cost(plan, metrics),
        requirements=requirements_of(found),
        claims=[_claim(verdict) for verdict in found.claims],
        undetermined=_undetermined(found),
        facts=facts_of(plan),
        diagnostics=[to_json(diagnostic) for diagnostic in diagnostics],
    )


def facts_of(plan: Plan) -> out.Facts:
    """The inputs and assumptions of a plan."""
    return out.Facts(**facts_data(plan.facts))


def requirements_of(found: Assessment) -> list[out.Requirement]:
    """The requirements, each with what the deployment does."""
    return [_requirement(verdict) for verdict in found.requirements]


def _phases(metrics: Metrics, ttft: TtftDefinition) -> out.Phases:
    return out.Phases(
        ttft_definition=ttft,
        prefill=_phase(metrics.prefill),
        decode=_phase(metrics.decode),
        handover_seconds=metrics.handover_seconds,
        transfer_seconds=metrics.transfer_seconds,
    )


def _phase(phase: PhaseMetrics) -> out.Phase:
    shares = phase.shares
    return out.Phase(
        seconds=phase.seconds,
        error_share=phase.error,
        extrapolated_share=phase.extrapolated,
        latency_seconds=phase.latency_seconds,
        micro_batches=phase.micro_batches,
        load_balance=phase.load_balance,
        bound=phase.bound,
        critical_path=out.CriticalPath(
            compute_share=shares.compute,
            memory_share=shares.memory,
            communication_share=shares.communication,
            bubble_share=shares.bubble,
        ),
    )


def _throughput(rates: Throughput, gpus: int) -> out.Throughput:
    return out.Throughput(
        limited_by=rates.limited_by,
        requests_per_second=rates.requests_per_second,
        input_tokens_per_second=rates.input_tokens_per_second,
        output_tokens_per_second=rates.output_tokens_per_second,
        total_tokens_per_second=rates.total_tokens_per_second,
        input_tokens_per_second_per_gpu=rates.input_tokens_per_second / gpus,
        output_tokens_per_second_per_gpu=rates.output_tokens_per_second / gpus,
        total_tokens_per_second_per_gpu=rates.total_tokens_per_second / gpus,
        prefill_tokens_per_second=rates.prefill_tokens_per_second,
        decode_tokens_per_second=rates.decode_tokens_per_second,
    )


def _serving(metrics: Metrics) -> out.Serving:
    found, queue = metrics.serving, metrics.queue
    return out.Serving(
        concurrency=found.concurrency,
        running=found.running,
        step_seconds=found.step_seconds,
        host_seconds=found.host_seconds,
        draft_seconds=found.draft_seconds,
        tokens_per_step=found.tokens_per_step,
        prompt_step_seconds=found.prompt_step_seconds,
        prompt_steps=found.prompt_steps,
        queue=out.Queue(**asdict(queue)) if queue else None,
    )


def _cost(plan: Plan, metrics: Metrics | None) -> out.Cost | None:
    found = cost_of(plan, metrics)
    return out.Cost(**asdict(found)) if found else None


def _requirement(verdict: RequirementVerdict) -> out.Requirement:
    actual = verdict.actual
    return out.Requirement(
        name=verdict.name,
        required=verdict.required,
        actual=actual.text,
        actual_value=_finite(actual.value),
        unit=actual.unit,
        ok=verdict.ok,
        reason=actual.reason,
    )


def _claim(verdict: Verdict) -> out.Claim:
    actual = verdict.actual
    return out.Claim(
        name=verdict.name,
        claimed=verdict.claimed,
        basis=verdict.basis.value,
        actual=actual.text,
        actual_value=_finite(actual.value),
        unit=actual.unit,
        ok=verdict.ok,
        reason=actual.reason,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _undetermined(found: Assessment) -> list[out.Undetermined]:
    shapes = list(found.missing_shapes)
    both = [*shapes, *found.missing_rates]
    what = [("memory", found.memory, shapes), ("phases", found.metrics, both), ("throughput", found.metrics, both)]
    return [out.Undetermined(what=name, missing=missing) for name, figures, missing in what if figures is None]
