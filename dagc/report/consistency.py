"""Claims against each other: arithmetic between stated figures, which needs no cost model.

Two claims that state one thing in two ways must agree: a total throughput and one a GPU, the memory of all GPUs and of
one, bytes and a share of the device. Only figures claimed exactly are compared, at the digits of the one that is
derived. Where GPUs are claimed, theirs is the number used, because the arithmetic is the author's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.metrics import GPUS, HEADROOM, MEMORY, MEMORY_TOTAL, THROUGHPUT, Metric
from dagc.plan.plan import Plan
from dagc.plan.workload import Claim, Per
from dagc.report.assessment import Actual, Basis, Verdict, written
from dagc.report.compare import same_at_digits
from dagc.report.quantity import figure_text
from dagc.units import Dimension, format_bytes, format_gpus


def judge_consistency(plan: Plan, claim: Claim) -> Iterator[Verdict]:
    """Verdicts on a claim that other claims of the same strategy decide."""
    if not _is_exact(claim):
        return
    others = tuple(c for c in plan.claims if c is not claim and _is_exact(c))
    derived = {
        THROUGHPUT: _throughput,
        MEMORY: _memory,
        HEADROOM: _headroom,
    }.get(claim.metric)
    if derived is not None:
        for value, reason in derived(plan, claim, others):
            yield _verdict(claim, value, reason)


def claimed_gpus(plan: Plan) -> int:
    """GPUs that the author assumes: those claimed, else those of the structure."""
    claimed = next((c.figure.value for c in plan.claims if c.metric is GPUS and _is_exact(c)), None)
    return int(claimed) if claimed and claimed >= 1 else plan.deployment.gpus


def device_bytes(plan: Plan) -> float:
    """Memory of a GPU: the smallest where pools have devices of their own."""
    pools = [pool for service in plan.deployment.services for pool in service.pools]
    return min(plan.device_of(pool).memory_bytes for pool in pools)


def _is_exact(claim: Claim) -> bool:
    return claim.comparison == "=" and claim.figure.significant > 0


def _verdict(claim: Claim, value: float, reason: str) -> Verdict:
    figure = claim.figure
    text = figure_text(value, figure)
    ok = same_at_digits(value, figure)
    return Verdict(claim, Basis.CLAIMS, written(claim.comparison, figure), Actual(value, figure.unit, text, reason), ok)


def _throughput(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    """The total against the one a GPU: the total is the derived figure."""
    if claim.figure.per is Per.GPU:
        return
    gpus = claimed_gpus(plan)
    for other in others:
        if other.metric is claim.metric and other.figure.per is Per.GPU and other.figure.kind == claim.figure.kind:
            yield other.figure.value * gpus, f"{other.figure.text} × {format_gpus(gpus)}"


def _memory(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    """Bytes a GPU against those of all GPUs; a share against bytes."""
    if claim.figure.unit == Dimension.SHARE:
        capacity = device_bytes(plan)
        for other in _bytes(others, MEMORY):
            yield other.figure.value / capacity, f"{other.figure.text} of {format_bytes(capacity)}"
        return
    gpus = claimed_gpus(plan)
    for other in _bytes(others, MEMORY_TOTAL):
        mean = other.figure.value / gpus
        reason = f"{other.figure.text} / {format_gpus(gpus)}"
        if claim.figure.value > mean and not same_at_digits(mean, claim.figure):
            yield claim.figure.value, f"above the mean of {reason}: possible with uneven memory per GPU"
        else:
            yield mean, reason


def _headroom(plan: Plan, claim: Claim, others: Sequence[Claim]) -> Iterator[tuple[float, str]]:
    capacity = device_bytes(plan)
    for other in _bytes(others, MEMORY):
        free = capacity - other.figure.value
        value = free / capacity if claim.figure.unit == Dimension.SHARE else free
        yield value, f"{format_bytes(capacity)} less {other.figure.text}"


def _bytes(claims: Sequence[Claim], metric: Metric) -> Iterator[Claim]:
    return (c for c in claims if c.metric is metric and c.figure.unit == Dimension.BYTES)
