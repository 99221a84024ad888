"""The parameters of a plan's workload: half and twice as many requests and tokens, other routing, other caches.

Only what the workload states has a change, but for skew and prefix hits, whose absence is a value too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dagc.plan.plan import Plan
from dagc.plan.workload import Workload
from dagc.units import format_rate, format_share
from dagc.whatif.parameter import Change, ParameterKind, SensitivityParameter

_SKEW = 1.0
"""Zipf exponent of skewed routing where a plan has none."""

_HITS = 0.5
"""Share of a prompt in the prefix cache where a plan has none there."""

_TITLES = {"concurrency": "requests in flight", "chunk": "prefill chunk"}


def workload(plan: Plan) -> tuple[SensitivityParameter, ...]:
    """Parameters in the order in which a `workload` block is written."""
    return tuple(_parameters(plan, plan.facts.workload))


def quantities(load: Workload) -> tuple[str, ...]:
    """The counts that a workload has: requests are a batch, or come and go; nothing limits those of an open loop."""
    if load.is_open:
        return ("prompt", "output", "chunk")
    return ("batch" if load.concurrency is None else "concurrency", "prompt", "output", "chunk")


def with_requests(plan: Plan, field: str, count: int) -> Plan:
    """The plan with another count of `batch`, `concurrency`, `prompt`, `output` or `chunk`.

    Requests in flight are the batch of all that is priced, so `concurrency` sets both.
    """
    fields: dict[str, int | None] = {"batch": count, "concurrency": count} if field == "concurrency" else {field: count}
    if field in ("prompt", "output"):
        fields[f"{field}_range"] = None
    return _put(plan, **fields)


def _parameters(plan: Plan, load: Workload) -> Iterator[SensitivityParameter]:
    for field in quantities(load):
        yield _counted(plan, field, _TITLES.get(field, field))
    if plan.facts.model.experts is not None:
        yield _skew(plan, load)
    shares = [0.0, (load.cached + 1) / 2] if load.cached else [_HITS]
    hits = tuple(Change(format_share(share), _put(plan, cached=share)) for share in shares)
    yield SensitivityParameter("cached", "prefix cache hits", ParameterKind.WORKLOAD, format_share(load.cached), hits)
    if load.requests_per_second is not None:
        yield _arrivals(plan, load.requests_per_second)
    if load.drafted:
        yield from _drafts(plan, load)


def _counted(plan: Plan, field: str, title: str) -> SensitivityParameter:
    count: int = getattr(plan.facts.workload, field)
    others = [other for other in (count // 2, count * 2) if other]
    changes = tuple(Change(f"{other:,}", with_requests(plan, field, other)) for other in others)
    return SensitivityParameter(field, title, ParameterKind.WORKLOAD, f"{count:,}", changes)


def _skew(plan: Plan, load: Workload) -> SensitivityParameter:
    """Even routing becomes skewed; skewed routing becomes even, or twice as steep."""
    exponents = [0.0, 2 * load.zipf_exponent] if load.is_skewed else [_SKEW]
    changes = tuple(Change(_routing(e), _put(plan, routing="zipf", zipf_exponent=e)) for e in exponents)
    own = load.zipf_exponent if load.is_skewed else 0.0
    return SensitivityParameter("routing", "routing", ParameterKind.WORKLOAD, _routing(own), changes)


def _routing(exponent: float) -> str:
    return f"zipf {exponent:g}" if exponent else "uniform"


def _arrivals(plan: Plan, rate: float) -> SensitivityParameter:
    changes = tuple(
        Change(format_rate(other, "requests/s"), _put(plan, requests_per_second=other))
        for other in (rate / 2, rate * 2)
    )
    return SensitivityParameter("rate", "arrivals", ParameterKind.WORKLOAD, format_rate(rate, "requests/s"), changes)


def _drafts(plan: Plan, load: Workload) -> Iterator[SensitivityParameter]:
    counts = (load.drafted - 1, load.drafted + 1)
    lengths = tuple(Change(str(count), _put(plan, drafted=count)) for count in counts)
    yield SensitivityParameter("draft", "drafted tokens", ParameterKind.WORKLOAD, str(load.drafted), lengths)
    shares = (load.acceptance / 2, (load.acceptance + 1) / 2)
    accepted = tuple(Change(format_share(share), _put(plan, acceptance=share)) for share in shares)
    yield SensitivityParameter(
        "accept", "accepted drafts", ParameterKind.WORKLOAD, format_share(load.acceptance), accepted
    )


def _put(plan: Plan, **fields: Any) -> Plan:
    return replace(plan, facts=replace(plan.facts, workload=replace(plan.facts.workload, **fields)))
