"""What a plan of a front does under load: the highest load that meets the requirements, simulated requests, and the
ratio of its pools.

With p units of GPUs for prefill and d for decode, a and b being the requests a second of a unit, a plan yields
min(p a, d b). Prefill of a prompt takes in proportion to its tokens, about: at P times as many a unit yields a / P. One
unit more for prefill is better from where p a / P < (d - 1) b on, one less where (p - 1) a / P > d b. A unit is a node
where both pools are whole nodes, and else a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.load import StrategyLoad
from dagc.driver.load_sweep import closed_loop, missed_by
from dagc.driver.pricing import Judge, judged
from dagc.driver.simulated_plan import SimulatedRequests, decides, simulate
from dagc.metrics import REQUESTS_AT_ONCE, THROUGHPUT
from dagc.plan.plan import Plan
from dagc.results.load import SimulatedLoad
from dagc.results.search_result import HighestLoad, PoolRatio
from dagc.results.summary import Throughput
from dagc.search.choice import LoadFigures
from dagc.search.incumbents import Named, PricedStrategy
from dagc.search.verdict import StrategyVerdict
from dagc.units import format_count

MOST = 1 << 17
"""Requests in flight past which no load is tried."""

PRECISION = 0.02
"""Relative distance between a load that meets the requirements and the lowest known not to."""

SIMULATED_PRECISION = 0.05
"""The same where simulated requests decide, which take longer."""

CONFIRMATIONS = 4
"""Loads that are confirmed at most, each lower than the one before it by the precision."""

_FIGURES = (REQUESTS_AT_ONCE, THROUGHPUT)


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """All of these, for a worker: takes strategies, each under a batch that the closed form meets the requirements
    with.
    """

    judge: Judge

    def __call__(self, named: Named) -> LoadFigures:
        """Nothing of a static batch but the ratio of pools; no highest load where simulated requests miss."""
        plan = self.judge.plan(*named)
        if isinstance(plan, Diagnostic):
            return LoadFigures()
        found = simulate(plan)
        figures = _figures(plan, found)
        if plan.facts.workload.concurrency is None or figures.is_missed:
            return figures
        top = highest(self.judge, *named)
        if found.load and decides(plan.facts):
            top = _simulated_highest(self.judge, named[1], top, found.load)
        return figures._replace(highest=top)


def _figures(plan: Plan, found: SimulatedRequests) -> LoadFigures:
    """All but the highest load."""
    ratio = None if found.metrics is None else pool_ratio(plan, found.metrics.throughput)
    return LoadFigures(None, found.record, ratio, tuple(map(judged, found.requirements)))


@dataclass(frozen=True, slots=True)
class RequestsOf:
    """For a worker: takes strategies, each under a batch, to what their simulated requests say."""

    judge: Judge

    def __call__(self, named: Named) -> LoadFigures:
        """All but the highest load."""
        plan = self.judge.plan(*named)
        return LoadFigures() if isinstance(plan, Diagnostic) else _figures(plan, simulate(plan))


@dataclass(frozen=True, slots=True)
class LowerLoad:
    """For a worker: takes strategies, each under a batch at which its simulated requests miss a requirement."""

    judge: Judge

    def __call__(self, named: Named) -> tuple[PricedStrategy, LoadFigures] | None:
        """The plan under the highest load that was found at which it meets every requirement; None without one."""
        strategy, batch = named
        plan = self.judge.plan(strategy, batch)
        load = None if isinstance(plan, Diagnostic) else simulate(plan).load
        if load is None:
            return None
        low, high = batch // 2, batch
        while low and self._misses(named, low, load):
            low, high = low // 2, low
        while high - low > max(1.0, SIMULATED_PRECISION * low):
            middle = (low + high) // 2
            low, high = (low, middle) if self._misses(named, middle, load) else (middle, high)
        # Memory, and so the caches, are those of the plan's own load up to here.
        for _ in range(CONFIRMATIONS if low else 0):
            figures = RequestsOf(self.judge)((strategy, low))
            if figures.simulated and figures.simulated.met:
                return PricedStrategy(strategy, low, self.judge.verdict(strategy, low)), figures
            low = max(1, int(low * (1 - SIMULATED_PRECISION)))
        return None

    def _misses(self, named: Named, batch: int, load: StrategyLoad) -> bool:
        verdict = self.judge.verdict(named[0], batch, _FIGURES)
        is_missed = verdict.code is not None or verdict.is_over or any(one.is_missed for one in verdict.requirements)
        return is_missed or bool(missed_by(_closed_loop(load, batch), self.judge.facts.requirements))


def _closed_loop(load: StrategyLoad, concurrency: int) -> SimulatedLoad:
    """Figures of the same requests with so many in flight."""
    return load.under(closed_loop(load.plan.facts.workload, concurrency))


def _simulated_highest(judge: Judge, batch: int, top: HighestLoad, load: StrategyLoad) -> HighestLoad:
    """The most requests in flight that simulated requests meet the requirements with too, up to those of the closed
    form, from a number that they do.
    """
    low, high, limit, best = batch, top.concurrency, top.limit, load.record
    middle = high
    while middle > low:
        found = _closed_loop(load, middle)
        missed = missed_by(found, judge.facts.requirements)
        if missed:
            high, limit = middle, missed[0]
        else:
            low, best = middle, found
        middle = (low + high) // 2 if high - low > max(1.0, SIMULATED_PRECISION * low) else low
    return HighestLoad(concurrency=low, requests_per_second=best.requests_per_second, limit=limit)


def highest(judge: Judge, strategy: str, batch: int) -> HighestLoad:
    """The most requests in flight of which a plan runs all and meets every requirement, from a number that does."""
    low, found = batch, judge.verdict(strategy, batch, _FIGURES)
    high, limit = MOST, _limit(found, batch)
    if limit is not None:
        return _load(judge, batch, found, limit)
    while low < MOST:
        tried = min(2 * low, MOST)
        verdict = judge.verdict(strategy, tried, _FIGURES)
        limit = _limit(verdict, tried)
        if limit is not None:
            high = tried
            break
        low, found = tried, verdict
    while limit is not None and high - low > max(1.0, PRECISION * low):
        middle = (low + high) // 2
        verdict = judge.verdict(strategy, middle, _FIGURES)
        missed = _limit(verdict, middle)
        low, high, found, limit = (middle, high, verdict, limit) if missed is None else (low, middle, found, missed)
    return _load(judge, low, found, limit or f"no load up to {MOST:,} was found to miss any")


def _load(judge: Judge, batch: int, found: StrategyVerdict, limit: str) -> HighestLoad:
    throughput = dict(found.figures).get(THROUGHPUT.name)
    rate = None if throughput is None else throughput / judge.facts.workload.output
    return HighestLoad(concurrency=batch, requests_per_second=rate, limit=limit)


def _limit(verdict: StrategyVerdict, batch: int) -> str | None:
    """What a plan misses under a load; None where nothing."""
    if verdict.code is not None or verdict.is_over:
        return "memory"
    missed = next((one.name for one in verdict.requirements if one.is_missed), None)
    if missed is not None:
        return missed
    running = dict(verdict.figures).get(REQUESTS_AT_ONCE.name)
    return "KV cache" if running is not None and running < batch else None


def pool_ratio(plan: Plan, found: Throughput) -> PoolRatio | None:
    """The ratio of the pools of prefill and decode; None where one service has both phases."""
    services, workload = plan.deployment.services, plan.facts.workload
    if len(services) == 1:
        return None
    prefill, decode = (one.gpus_per_replica * one.replicas * plan.deployment.replicas for one in services)
    node = plan.facts.cluster.gpus_per_node
    unit = node if prefill % node == decode % node == 0 else 1
    common, p, d = gcd(prefill, decode), prefill // unit, decode // unit
    name = {"handover": "the transfer of the KV cache"}.get(found.limited_by, found.limited_by)
    sentence = f"{prefill // common} prefill : {decode // common} decode; {name} limits"
    if found.limited_by in ("prefill", "decode") and workload.output > 1 and p + d > 2:
        a = found.prefill_tokens_per_second / workload.prompt / p
        b = found.decode_tokens_per_second / (workload.output - 1) / d
        longer, shorter = p * a / ((d - 1) * b) if d > 1 else 0.0, (p - 1) * a / (d * b)
        is_more = longer > 1 or (d > 1 and shorter < 1)
        times, moved = (longer, 1) if is_more else (shorter, -1)
        if times > 0 and 1 <= p + moved < p + d:
            where = "from a prompt of about" if moved > 0 else "up to a prompt of about"
            tokens, other = format_count(times * workload.prompt), gcd(p + moved, d - moved)
            sentence += f"; {where} {tokens} tokens {'on ' if moved > 0 else ''}it is "
            sentence += f"{(p + moved) // other} : {(d - moved) // other}"
    return PoolRatio(prefill_gpus=prefill, decode_gpus=decode, limited_by=found.limited_by, sentence=sentence)
