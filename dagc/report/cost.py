"""What a deployment costs: its GPUs by the hour, and a million tokens at the throughput that it reaches.

All GPUs cost the same, of whatever device, because a cluster states one price. Tokens carry the whole cost of the
deployment while they are made: price a second / tokens a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.plan.plan import Plan
from dagc.report.facts import SECONDS_PER_HOUR
from dagc.report.metrics import Metrics

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class CostFigures:
    """US dollars. Tokens cost None where no throughput is known, or none is reached."""

    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    usd_per_million_tokens: float | None


def cost_of(plan: Plan, metrics: Metrics | None) -> CostFigures | None:
    """The cost of a plan; None where its cluster has no price."""
    price = plan.facts.cluster.usd_per_gpu_second
    if price is None:
        return None
    each_second = price * plan.deployment.gpus
    rates = metrics.throughput if metrics else None
    return CostFigures(
        usd_per_hour=each_second * SECONDS_PER_HOUR,
        usd_per_million_output_tokens=_of_a_million(each_second, rates.output_tokens_per_second if rates else None),
        usd_per_million_tokens=_of_a_million(each_second, rates.total_tokens_per_second if rates else None),
    )


def _of_a_million(each_second: float, rate: float | None) -> float | None:
    return each_second / rate * _MILLION if rate else None
