"""W150: requests arrive faster than the deployment serves them, so that the queue grows without end."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import format_rate, format_seconds, format_share

CODE = Code("W150", "rate-over-capacity", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning where an arrival rate is stated and some queue of it has no end."""
    metrics, span = assessment.metrics, plan.facts.workload.spans.get("rate")
    found = metrics.serving.queue if metrics else None
    if metrics is None or span is None or found is None or found.ttft_p99_seconds is not None:
        return
    served = metrics.throughput.requests_per_second
    highest = found.requests_per_second / max(found.utilisation, found.prefill_utilisation)
    yield CODE.at(
        span,
        f"{format_rate(found.requests_per_second, 'requests/s')} exceed the capacity of the deployment",
        f"at most {format_rate(highest, 'requests/s')}",
        notes=(
            f"a request takes {format_seconds(plan.facts.workload.batch / served)}: "
            f"{format_share(found.utilisation)} of request slots, {format_share(found.prefill_utilisation)} of prefill",
        ),
        help=("allow more in flight with `concurrency`, add replicas with `dp`, or state a lower rate",),
    )
