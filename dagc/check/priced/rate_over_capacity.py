"""W150: requests arrive faster than the deployment serves them, so that the queue grows without end."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.source import Span
from dagc.units import format_rate

CODE = Code("W150", "rate-over-capacity", Severity.WARNING)


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning where requests arrive faster than simulated ones are completed when they never lack."""
    load, span = assessment.load, _span(plan)
    if load is None or load.saturation is None or load.holds or span is None:
        return
    rate, highest = plan.facts.workload.requests_per_second or 0.0, load.saturation.requests_per_second
    arriving = format_rate(rate, "requests/s")
    verb = "exceed" if arriving.endswith("requests/s") else "exceeds"
    yield CODE.at(
        span,
        f"{arriving} {verb} the capacity of the deployment",
        f"at most {format_rate(highest, 'requests/s')}",
        notes=("the queue grows without end: simulated requests that never lack are completed at this rate",),
        help=(_help(plan),),
    )


def _span(plan: Plan) -> Span | None:
    spans = plan.facts.workload.spans
    return spans.get("rate", spans.get("trace"))


def _help(plan: Plan) -> str:
    if plan.facts.workload.is_open:
        return "add replicas with `dp`, or state a lower rate"
    return "allow more in flight with `concurrency`, add replicas with `dp`, or state a lower rate"
