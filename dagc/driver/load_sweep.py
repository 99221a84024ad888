"""A strategy under other loads: the highest of them that keeps every requirement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dagc.driver.load import StrategyLoad, arrivals_text, with_workload
from dagc.plan.workload import Requirement, Workload
from dagc.results.load import SimulatedLoad, simulated_value
from dagc.results.quantity import satisfies
from dagc.results.simulation import Sweep, SweepOver, SweepPoint

PRECISION = 0.02
"""Relative distance between the highest load that keeps the requirements and the lowest known not to."""

IDLE_SHARE = 0.01
"""Rate of arrivals as a share of the highest, from which down requests hardly meet: what is missed there is missed by
an idle server."""

SHARES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Loads of a sweep as shares of the highest, before the search between two of them."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A load of a sweep: its figures, whether it keeps every upper limit, and its goodput in requests a second."""

    point: SweepPoint
    keeps_ceilings: bool
    goodput: float


def too_high_from(tried: dict[float, Tried], most: float) -> tuple[float, float]:
    """The highest load below all that are too high, 0 where there is none, and the lowest that is, else `most`.

    Upper limits are missed from some load on. A lower limit on goodput is missed by loads that are too low: goodput
    grows with them up to where requests begin to miss their limits, so that one which is missed with less goodput than
    a lower load has is missed by a load that is too high.
    """
    best = 0.0
    high = most
    for load, one in sorted(tried.items()):
        if not one.keeps_ceilings or (one.point.met is False and one.goodput < best):
            high = load
            break
        best = max(best, one.goodput)
    return max((load for load in tried if load < high), default=0.0), high


def sweep(subject: StrategyLoad, over: SweepOver) -> Sweep:
    """Loads from a tenth of the highest on, and between them the highest that keeps every requirement."""
    most = subject.saturated_rate if over == "rate" else float(2 * subject.most_running)
    tried: dict[float, Tried] = {}
    for share in SHARES:
        _try(subject, over, most * share, tried)
    step, idle = (1.0, 0.0) if over == "concurrency" else (0.0, IDLE_SHARE * most)
    low, high = too_high_from(tried, most)
    while high - low > max(step, PRECISION * high) and high > idle:
        _try(subject, over, (low + high) / 2, tried)
        low, high = too_high_from(tried, most)
    kept = [load for load, one in tried.items() if load <= low and one.point.met is not False]
    points = [tried[load].point for load in sorted(tried)]
    return Sweep(over=over, highest=max(kept, default=None), points=points)


def _try(subject: StrategyLoad, over: SweepOver, load: float, tried: dict[float, Tried]) -> None:
    """Simulate a load, a whole number where it is a concurrency."""
    workload = subject.plan.facts.workload
    if over == "concurrency":
        load = float(max(1, int(load)))
        changed = closed_loop(workload, int(load))
    else:
        changed = replace(workload, requests_per_second=load, is_open=True)
        changed = replace(changed, trace=None, lengths=workload.trace or workload.lengths)
    subject.say(f"{subject.plan.name}: {arrivals_text(with_workload(subject.plan, changed))}")
    found = subject.under(changed)
    limits = [one for one in subject.plan.facts.requirements if one.is_of_load]
    point = SweepPoint(
        load=load,
        requests_per_second=found.requests_per_second,
        ttft_seconds=found.ttft.percentiles_seconds,
        tpot_seconds=found.tpot.percentiles_seconds,
        met=not missed_by(found, limits) if limits else None,
    )
    ceilings = [one for one in limits if one.is_ceiling]
    tried[load] = Tried(point, not missed_by(found, ceilings), found.goodput_requests_per_second or 0.0)


def closed_loop(workload: Workload, concurrency: int) -> Workload:
    """The same requests with so many in flight."""
    changed = replace(workload, concurrency=concurrency, requests_per_second=None, is_open=False)
    return replace(changed, trace=None, lengths=workload.trace or workload.lengths)


def missed_by(load: SimulatedLoad, requirements: Iterable[Requirement]) -> list[str]:
    """The requirements on a simulated metric that do not hold, as written: `ttft p99`."""
    values = [(one, simulated_value(load, one.metric)) for one in requirements if one.is_of_load]
    return [
        one.title for one, value in values if value is None or not satisfies(value, one.comparison, one.figure.value)
    ]
