"""W124: a stage of a pipeline idles for more of a phase than the limit, a fifth by default."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from dagc.check.helpers.labels import states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_count
from dagc.results.assessment import Assessment
from dagc.results.summary import PhaseRecord as PhaseTimes
from dagc.units import counted, format_share

CODE = Code("W124", "bubble-over-limit", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning for each phase with a pipeline, of a stated workload.

    A decode with fewer micro-batches than stages is W132's. Where requests come and go, a prefill of one prompt says
    nothing of how stages idle: the next prompts follow it.
    """
    if assessment.metrics is None or not states(plan, "workload"):
        return
    limit = plan.facts.rules.limit("bubble")
    for phase, metrics in ((Phase.PREFILL, assessment.metrics.prefill), (Phase.DECODE, assessment.metrics.decode)):
        service = next(s for s in plan.deployment.services if s.phase in (phase, Phase.BOTH))
        is_starved = phase is Phase.DECODE and metrics.micro_batches < service.stages
        is_starved |= phase is Phase.PREFILL and plan.facts.workload.concurrency is not None
        if service.stages > 1 and metrics.critical_path.bubble_share > limit and not is_starved:
            yield _diagnostic(plan, service, phase, metrics, limit)


def _diagnostic(plan: Plan, service: Service, phase: Phase, metrics: PhaseTimes, limit: float) -> Diagnostic:
    stages, micro = service.stages, metrics.micro_batches
    return CODE.at(
        service.option_span("micro") or service.span,
        f"a stage idles for {format_share(metrics.critical_path.bubble_share)} of {phase}",
        f"{counted(micro, 'micro-batch', 'es')} over {stages} stages; the limit is {format_share(limit)}",
        notes=(f"(stages - 1) / (micro-batches + stages - 1) = {format_share(_ideal(stages, micro))} with even stages",)
        if phase is Phase.PREFILL
        else (),
        help=(_help(plan, service, phase, limit),),
    )


def _ideal(stages: int, micro: int) -> float:
    return (stages - 1) / (micro + stages - 1)


def _help(plan: Plan, service: Service, phase: Phase, limit: float) -> str:
    """The micro-batches that bring even stages to the limit, where the batch has as many and they are more."""
    stages = service.stages
    needed = ceil((stages - 1) * (1 - limit) / limit) if phase is Phase.PREFILL and limit else stages
    sequences = fullest_replica(plan.deployment, service, plan.facts.workload.batch)
    if micro_batch_count(service, sequences) < needed <= sequences:
        return f"`[micro {needed}]` reaches the limit with even stages; fewer stages shorten the bubble"
    return "use fewer stages, or make them more even"
