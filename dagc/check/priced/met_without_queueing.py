"""W128: a requirement on a time is met by a deployment that nobody waits for, and not, or not surely, under load.

TTFT is computed for a batch that arrives alone. Under load the next batch waits for the one before it: with fixed
service times and random arrivals (M/D/1) at load r the mean wait is r / (2 (1 - r)) of the service time
(Pollaczek-Khinchine). TPOT is the interval of decode alone; where both phases share their GPUs, each batch's prefill
comes between its predecessors' tokens, TTFT / (output - 1) a token on average.

Under a stated concurrency TPOT counts that already. A limit on TTFT where no request is simulated, or on a share of
prefill, is undetermined: that of an idle server is all that is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.metrics import TPOT, TTFT
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment, RequirementVerdict
from dagc.results.metrics import Metrics
from dagc.units import format_seconds, format_share

CODE = Code("W128", "met-without-queueing", Severity.WARNING)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A time under load, the arithmetic that gives it, and a way out."""

    seconds: float
    why: str
    help: str


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning for each ceiling on TTFT or TPOT that holds without load alone."""
    metrics = assessment.metrics
    if metrics is None:
        return
    for verdict in assessment.requirements:
        if verdict.ok is None and verdict.actual.is_lower_bound:
            yield _undetermined(verdict)
        elif verdict.ok and verdict.requirement.is_ceiling:
            loaded = _loaded(plan, metrics, verdict)
            if loaded is not None and loaded.seconds > verdict.requirement.figure.value:
                yield _diagnostic(verdict, loaded)


def _undetermined(verdict: RequirementVerdict) -> Diagnostic:
    reason, _, found = verdict.actual.reason.partition(": ")
    return CODE.at(
        verdict.requirement.span,
        f"whether `{verdict.name} {verdict.required}` is met is undetermined: {reason}",
        found,
        help=("measure it under load, or use a static batch: `batch` in place of `concurrency`",),
    )


def _diagnostic(verdict: RequirementVerdict, loaded: _Loaded) -> Diagnostic:
    name, actual = verdict.name, verdict.actual.text
    return CODE.at(
        verdict.requirement.span,
        f"`{name}` is {actual} without queueing, and {format_seconds(loaded.seconds)} under load",
        f"{verdict.requirement.figure.text} required",
        notes=(loaded.why,),
        help=(loaded.help,),
    )


def _loaded(plan: Plan, metrics: Metrics, verdict: RequirementVerdict) -> _Loaded | None:
    if plan.facts.workload.concurrency is not None:
        return None
    if verdict.requirement.metric is TTFT:
        return _waiting(metrics.prefill.seconds, verdict.requirement.figure.value, plan.facts.rules.limit("load"))
    if verdict.requirement.metric is TPOT and metrics.phases.handover_seconds is None:
        return _interrupted(metrics, plan.facts.workload.output)
    return None


def _waiting(service: float, required: float, load: float) -> _Loaded:
    """The mean over arrivals at this load, and the load at which the requirement still holds."""
    spare = 2 * (required / service - 1)
    highest = spare / (1 + spare)
    wait = load / (2 * (1 - load)) if load < 1 else float("inf")
    why = f"M/D/1 at a load of {format_share(load)}: {format_seconds(service)} × (1 + {wait:.3g}) on average"
    return _Loaded(service * (1 + wait), why, f"met up to a load of {format_share(highest)}: lower the load")


def _interrupted(metrics: Metrics, output: int) -> _Loaded | None:
    if output < 2:
        return None
    prefill, decode = metrics.prefill.seconds, metrics.decode.seconds
    why = f"both phases share their GPUs: {format_seconds(decode)} + {format_seconds(prefill)} / {output - 1} a token"
    return _Loaded(
        decode + prefill / (output - 1), why, "give the phases their own GPUs, `prefill < … > | decode < … >`"
    )
