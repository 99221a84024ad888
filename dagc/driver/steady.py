"""The steady state of an open loop: as many requests in flight as Little's law says.

Requests arrive at a rate λ and each is in flight for S seconds, from admission to its last token. In the mean λ S are
in flight (Little, 1961), but S is itself longer the more of them share each step. The least number n with
n >= λ S(n) is found from below: n, then λ S(n), as long as that grows; where growth is slow, close to saturation, by
bisection below what the caches hold. Where no n is large enough the deployment is saturated, and runs all that the
caches hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from dagc.plan.plan import Plan
from dagc.plan.workload import Workload
from dagc.results.metrics import Metrics

_ROUNDS = 6
"""Numbers that are tried one after the other before bisection."""


def in_steady_state(plan: Plan, most: int, measure: Callable[[Plan], Metrics | None]) -> Plan:
    """The plan with the requests in flight of its steady state, 1 to `most`; `most` where it cannot be measured."""
    known = dict[int, int]()

    def needed(held: int) -> int:
        """Requests in flight where so many share the steps."""
        if held not in known:
            metrics = measure(_with(plan, held))
            known[held] = most + 1 if metrics is None else _in_flight(plan.facts.workload, metrics)
        return known[held]

    low, high = 0, 1
    for _ in range(_ROUNDS):
        if needed(high) <= high:
            return _with(plan, high)
        if high == most:
            return _with(plan, most)
        low, high = high, min(needed(high), most)
    if needed(most) > most:
        return _with(plan, most)
    high = most
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if needed(middle) <= middle else (middle, high)
    return _with(plan, high)


def _in_flight(workload: Workload, metrics: Metrics) -> int:
    """Requests that are in flight in the mean where each takes what these metrics say."""
    seconds = metrics.prefill.seconds + (workload.output - 1) * metrics.decode.seconds
    return ceil((workload.requests_per_second or 0.0) * seconds)


def _with(plan: Plan, held: int) -> Plan:
    workload = replace(plan.facts.workload, batch=held, concurrency=held)
    return replace(plan, facts=replace(plan.facts, workload=workload))
