"""How many requests a second the compiled simulation takes, and how much longer the stepwise one takes.

Prints a table: `python -m tests.bench.simulate [REQUESTS]`. Lengths are lognormal with the means of the conversation
trace of Azure (Patel et al., "Splitwise", ISCA 2024: about 1,000 tokens of prompt and 200 of output); arrivals are a
Poisson process at a rate that keeps about a hundred sequences running. Times of steps are straight lines with
magnitudes of a 70-billion-parameter model on 8 GPUs, so that nothing else is measured. Times are those of the process,
the least of three for the small count, on which the two simulations are compared; the large count runs once.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from dagc.simulate.kernel import Simulation
from dagc.simulate.policy import Late, LoadBalancer, Policy, Reserve
from dagc.simulate.requests import Requests, Tokens, arrivals
from tests.harness import step_times as harness
from tests.harness.step_times import Tables
from tests.harness.stepwise import Stepwise

LARGE = 1_000_000
LIMIT = 60.0
"""Goal: seconds for the large count."""
SMALL = 200
RATE = 30.0
"""Requests a second."""

POLICIES = {
    "vLLM": Policy(blocks=40_000, ahead=True, late=Late.SLOT),
    "SGLang": Policy(
        mixes=False, reserve=Reserve.LOOKAHEAD, block=1, blocks=640_000, threshold=8192, late=Late.ROW, ahead=True
    ),
    "SGLang, eager": Policy(
        mixes=False, reserve=Reserve.ESTIMATE, block=1, blocks=640_000, threshold=8192, late=Late.ROW, ahead=True,
        prefill_launch=20 * 10**9,
    ),
    "TensorRT-LLM": Policy(reserve=Reserve.WHOLE, block=32, blocks=20_000, chunks=False, late=Late.ROW, ahead=True),
    "vLLM, dp 8": Policy(ranks=8, blocks=5_000, ahead=True, late=Late.SLOT),
    "TensorRT, dp 8": Policy(
        ranks=8, router=LoadBalancer.SHARED_QUEUE, reserve=Reserve.WHOLE, block=32, blocks=5_000, chunks=False,
        late=Late.ROW, ahead=True,
    ),
}  # fmt: skip


def step_times() -> Tables:
    """A decode step of 15 ms and 40 µs a sequence; prompts at about 40 µs a token, more with long contexts."""
    sequences, prompts, contexts = (np.array(nodes) for nodes in ([0.0, 256.0], [0.0, 1024.0, 8192.0], [0.0, 8192.0]))
    return Tables(
        fullness=np.array([0.125, 1.0]),
        prompts=prompts,
        contexts=contexts,
        sequences=sequences,
        base=15_000,
        step=20,
        starts=(0,),
        slopes=(1000 << 16,),
        terms=(((1, 1), (1, 40_000, 320_000), (1, 1), (1, 1)), ((1, 1), (0, 1_000, 8_000), (0, 8), (1, 1))),
        unit_time=10**6,
    )


def requests(count: int) -> Requests:
    """So many requests, the same at each call."""
    random = np.random.RandomState(1)

    def lengths(mean: float, sigma: float, most: int) -> Tokens:
        draws = random.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)
        return np.clip(np.round(draws), 1, most).astype(np.int32)

    prompt, output = lengths(1000, 1.0, 8000), lengths(200, 0.8, 1500)
    return Requests(arrivals(RATE, 1.0, random, count), prompt, output, np.zeros(count, dtype=np.int32))


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Least time of the process for a call."""
    times: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def main(count: int = LARGE) -> None:
    """Measure and print."""
    # A picosecond more or less is nothing here.
    harness.NEAR = 0.0
    tables, few, many = [step_times()], requests(SMALL), requests(count)
    print(f"{'':16}{'requests':>10}{'s':>8}{'requests/s':>12}{'of goal':>9}{'stepwise':>10}{'peak MiB':>10}")
    for name, policy in POLICIES.items():
        small = seconds(Simulation(few, [policy], tables).run, 3)
        stepwise = seconds(Stepwise(few, [policy], tables).run, 1)
        large = seconds(Simulation(many, [policy], tables).run, 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        share, rate = large / count * LARGE / LIMIT, f"{count / large:,.0f}"
        print(f"{name:16}{count:>10,}{large:>8.1f}{rate:>12}{share:>9.0%}{stepwise / small:>9.0f}x{peak:>10,}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
