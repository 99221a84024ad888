"""A question about a rate becomes one about requests in flight: a closed loop that has to yield the rate.

Nothing limits the requests in flight of an open loop, but what is required of it does: with λ requests a second, no
more than λ (TTFT + (output - 1) TPOT) are in flight where these are at their limits (Little, 1961). A plan that meets
the limits with so many in flight and completes λ a second runs no more of them under the rate. Without a limit on TPOT
it is as many as the first of the well-known strategies needs to yield the rate, by powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from dagc.driver.outcome import Blocks
from dagc.driver.pricing import Judge, judge_of
from dagc.metrics import THROUGHPUT, TPOT, TTFT, metric_named
from dagc.plan.plan import Facts
from dagc.search.plan_text import Origin, block_text, with_batch
from dagc.source import Source

MOST = 1 << 16
"""Requests in flight past which none of the well-known strategies is tried."""


def _in_flight(facts: Facts, tried: Sequence[str]) -> int:
    """Requests in flight with which an open loop is searched."""
    workload = facts.workload
    limit, ttft = (_limit(facts, metric.name) for metric in (TPOT, TTFT))
    if limit is not None:
        seconds = (ttft or 0.0) + (workload.output - 1) * limit
        return max(1, ceil((workload.requests_per_second or 0.0) * seconds))
    judge = judge_of(facts)
    return min((held for one in tried if (held := _held(judge, one)) is not None), default=MOST)


def _limit(facts: Facts, name: str) -> float | None:
    """The strictest limit on a figure, or on a percentile of it."""
    limits = [one.figure.value for one in facts.requirements if metric_named(one.name).name == name and one.is_ceiling]
    return min(limits, default=None)


def _held(judge: Judge, strategy: str) -> int | None:
    """The least power of two of requests in flight with which a strategy yields the rate; None where it does not."""
    wanted = (judge.facts.workload.requests_per_second or 0.0) * judge.facts.workload.output
    held, before = 1, 0.0
    while held <= MOST:
        verdict = judge.verdict(strategy, held, (THROUGHPUT,))
        yielded = dict(verdict.figures).get(THROUGHPUT.name) or 0.0
        if yielded >= wanted:
            return held
        if yielded <= before:
            return None
        held, before = 2 * held, yielded
    return None


def closed(blocks: Blocks, origin: Origin, facts: Facts, tried: Sequence[tuple[str, str]]) -> Blocks:
    """The options of a question with requests in flight, and its rate among the requirements.

    `tried` are strategies by name that may yield it.
    """
    held, rate = _in_flight(facts, [strategy for _, strategy in tried]), (facts.workload.requests_per_second or 0.0)
    named = {block.keyword: block for block in (*origin.blocks, *origin.overrides)}
    workload = block_text(named["workload"], [with_batch(named["workload"], held)], origin)
    required = block_text(named["require"], (), origin) if "require" in named else "require { }"
    required = f"{required.removesuffix('}')}\n    throughput >= {rate * facts.workload.output:.6g} output tokens/s\n}}"
    changed = [("workload", workload), ("require", required)]
    return (
        *(one for one in blocks if one[0] not in ("workload", "require")),
        *((keyword, Source(keyword, text.removeprefix(keyword).strip())) for keyword, text in changed),
    )
