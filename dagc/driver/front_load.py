"""What a plan of a front does under load: the highest load that meets the requirements, simulated requests, and the
ratio of its pools.

With p units of GPUs for prefill and d for decode, a and b being the requests a second of a unit, a plan yields
min(p a, d b). Prefill of a prompt takes in proportion to its tokens, about: at P times as many a unit yields a / P. One
unit more for prefill is better from where p a / P < (d - 1) b on, one less where (p - 1) a / P > d b. A unit is a node
where both pools are whole nodes, and else a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.pricing import Judge
from dagc.driver.strategies import price_plan
from dagc.metrics import REQUESTS_AT_ONCE, THROUGHPUT
from dagc.plan.plan import Plan
from dagc.plan.workload import AS_PLANNED
from dagc.results.assessment import Assessment, all_met
from dagc.results.search_result import HighestLoad, PoolRatio, SimulatedPlan
from dagc.results.summary import Throughput
from dagc.search.assemble import UnderLoadFigures
from dagc.search.incumbents import Named
from dagc.search.verdict import StrategyVerdict
from dagc.units import format_count

MOST = 1 << 17
"""Requests in flight past which no load is tried."""

PRECISION = 0.02
"""Relative distance between a load that meets the requirements and the lowest known not to."""

_FIGURES = (REQUESTS_AT_ONCE, THROUGHPUT)


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """Both, for a worker: takes strategies, each under a batch that it meets the requirements with."""

    judge: Judge

    def __call__(self, named: Named) -> UnderLoadFigures:
        """Nothing of a static batch but the ratio of pools; no highest load where simulated requests miss."""
        plan = self.judge.plan(*named)
        if isinstance(plan, Diagnostic):
            return None, None, None
        is_static = plan.facts.workload.concurrency is None
        priced = price_plan(_closed(plan), [], lambda _: None, sample=None if is_static else AS_PLANNED).assessment
        ratio = None if priced.metrics is None else pool_ratio(plan, priced.metrics.throughput)
        found = simulated(priced)
        # What simulated requests miss at this load has no highest one, whatever the closed form finds.
        has_highest = not is_static and (found is None or found.met is not False)
        return highest(self.judge, *named) if has_highest else None, found, ratio


def _closed(plan: Plan) -> Plan:
    """An open loop with a number of requests in flight is simulated as a closed one of that number."""
    workload = plan.facts.workload
    return replace(plan, facts=replace(plan.facts, workload=replace(workload, is_open=False)))


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


def simulated(assessment: Assessment) -> SimulatedPlan | None:
    """What simulated requests say of a plan; None where none were."""
    load = assessment.load
    if load is None:
        return None
    ttft, tpot = load.ttft.percentiles_seconds, load.tpot.percentiles_seconds
    return SimulatedPlan(
        output_tokens_per_second=load.output_tokens_per_second,
        ttft_p50=ttft["p50"],
        ttft_p99=ttft["p99"],
        tpot_p50=tpot["p50"],
        met=all_met(one.ok for one in assessment.requirements),
    )


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
