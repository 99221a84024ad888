"""Mean waits of simulated queues are those of the formulas of queueing theory, where these hold exactly.

A wait is the time from the issue of a request to its admission. Its standard error is that of the means of batches,
because waits of neighbours are alike; a mean may be off by four of them.
"""

from __future__ import annotations

from dataclasses import replace
from math import factorial

import numpy as np
import numpy.typing as npt

from dagc.simulate.kernel import Simulation
from dagc.simulate.policy import Policy
from dagc.simulate.requests import PICOSECONDS, Requests, arrivals
from tests.harness.step_times import Tables

COUNT = 40_000
BATCHES = 20
SERVICE = PICOSECONDS // 1000
"""Mean time of service, one millisecond."""
LOAD = 0.7
POLICY = Policy(budget=1 << 40, blocks=1 << 30)


def _tables(base: int, by_sequences: tuple[int, ...], by_tokens: tuple[int, ...]) -> Tables:
    """A decode step takes `base`; prompts the product of the two rows, whose nodes are 0, 1, 2 …"""
    axes = [np.arange(len(row), dtype=np.float64) for row in (by_sequences, by_tokens)]
    return Tables(
        fullness=np.array([1.0]),
        sequences=axes[0],
        prompts=axes[1],
        contexts=np.array([0.0]),
        base=base,
        step=0,
        starts=(0,),
        slopes=(0,),
        terms=((by_sequences, by_tokens, (1,), (1,)),),
    )


def _waits(tables: Tables, most_running: int, prompt: npt.ArrayLike, output: npt.ArrayLike) -> tuple[float, float]:
    """Mean wait in times of service, and its standard error, of Poisson arrivals at the load."""
    random = np.random.RandomState(7)
    times = arrivals(LOAD * most_running * PICOSECONDS / SERVICE, 1.0, random, COUNT)
    tokens, outputs, hits = (np.broadcast_to(np.asarray(c, dtype=np.int32), COUNT) for c in (prompt, output, 0))
    requests = Requests(times, tokens, outputs, hits)
    done = Simulation(requests, [replace(POLICY, most_running=most_running)], [tables]).run()
    waits = (done.admitted - done.issued) / SERVICE
    means = waits.reshape(BATCHES, -1).mean(axis=1)
    return float(waits.mean()), float(means.std(ddof=1)) / BATCHES**0.5


def _agree(mean: float, error: float, expected: float, bias: float = 0.0) -> None:
    assert error < 0.08 * expected
    assert abs(mean - expected) < 4 * error + bias


def test_constant_services_one_at_a_time_wait_as_md1() -> None:
    """Each request is one prompt of one token, in a step of its own."""
    mean, error = _waits(_tables(1, (1,), (SERVICE,)), 1, 1, 1)
    _agree(mean, error, LOAD / (2 * (1 - LOAD)))


def test_exponential_services_one_at_a_time_wait_as_mm1() -> None:
    """A prompt takes a time in proportion to its tokens, which are an exponential draw of a million on average."""
    tokens = 1_000_000
    prompts = np.ceil(np.random.RandomState(8).exponential(tokens, COUNT))
    mean, error = _waits(_tables(1, (1,), (0, SERVICE // tokens)), 1, prompts, 1)
    _agree(mean, error, LOAD / (1 - LOAD))


def test_geometric_services_side_by_side_wait_as_mmc() -> None:
    """Every step takes the same time and gives each running request a token: they are servers of their own.

    The number of tokens is geometric: without memory, as the exponential distribution. A server is taken at the end of
    a step only, so a wait may be longer by a step, and the variance of services is less by a share of one step: the
    mean may be off by two steps.
    """
    servers, tokens = 3, 400
    outputs = np.random.RandomState(9).geometric(1 / tokens, COUNT)
    # A prompt in a step of its own takes a step's time, and none beside decoded tokens.
    tables = _tables(SERVICE // tokens, (1, 0, 0), (SERVICE // tokens,))
    mean, error = _waits(tables, servers, 1, outputs)
    offered = LOAD * servers
    full = offered**servers / factorial(servers) / (1 - LOAD)
    waits = full / (sum(offered**k / factorial(k) for k in range(servers)) + full)
    _agree(mean, error, waits / (servers * (1 - LOAD)), bias=2 / tokens)


def test_a_closed_loop_of_equal_requests_is_as_fast_as_its_steps() -> None:
    """With as many in flight as run at once, each of them has its output after so many steps."""
    count, cap, output, step = 64, 8, 10, 1000
    ones, outputs, hits = (np.full(count, n, dtype=np.int32) for n in (1, output, 0))
    requests = Requests(np.zeros(count, dtype=np.int64), ones, outputs, hits, cap)
    done = Simulation(requests, [Policy(most_running=cap)], [_tables(step, (1,), (step,))]).run()
    assert done.last.tolist() == [(1 + i // cap) * output * step for i in range(count)]
