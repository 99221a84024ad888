"""The stated approximation of queues against a simulation of them, event by event."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from dagc.results.serving import queue
from tests.unit.test_results_serving import subject


def simulated(rate: float, ttft: float, tpot: float, output: int, places: int) -> tuple[float, float]:
    """TTFT at p50 and p99 of 40,000 requests that arrive at random: a place, then a turn at the prefill, in order."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / rate, 40_000)).tolist()
    ends, free, seen = [0.0] * places, 0.0, list[float]()
    for arrival in arrivals:
        free = max(arrival, heapq.heappop(ends), free) + ttft
        heapq.heappush(ends, free + (output - 1) * tpot)
        seen.append(free - arrival)
    return float(np.quantile(seen[1000:], 0.5)), float(np.quantile(seen[1000:], 0.99))


@pytest.mark.parametrize("places", [1, 4, 16])
@pytest.mark.parametrize("utilisation", [0.5, 0.7, 0.9])
def test_quantiles_are_near_those_of_a_simulation(places: int, utilisation: float) -> None:
    """A place is held for 0.1 s + 10 · 90 ms = 1 s, of 16 for 0.1 s + 100 · 20 ms = 2.1 s.

    Waits are added though they do not fall together, so that p99 is long, by up to a third; the median of a wait that
    hardly half of all have is short, by as much.
    """
    output, tpot = (11, 0.09) if places < 16 else (101, 0.02)
    rate = utilisation * places / (0.1 + (output - 1) * tpot)
    found = queue(subject(f"concurrency {places}    output {output}    rate {rate} requests/s"), 0.1, tpot)
    assert found is not None and found.ttft_p50_seconds and found.ttft_p99_seconds
    assert found.utilisation == pytest.approx(utilisation)
    p50, p99 = simulated(rate, 0.1, tpot, output, places)
    assert 0.67 * p50 < found.ttft_p50_seconds < 1.1 * p50
    assert 0.95 * p99 < found.ttft_p99_seconds < 1.4 * p99
