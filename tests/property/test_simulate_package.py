"""Simulated queues against those of an independent package, customer by customer: SimPy 4, resources of one server.

SimPy gets the same arrivals, and times of service in the whole; a request is served by steps of that length. It adds up
floating point seconds and dagc whole picoseconds, so that ends may differ by some picoseconds.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from dagc.simulate.kernel import Simulated, Simulation
from dagc.simulate.policy import Policy
from dagc.simulate.requests import PICOSECONDS, Requests, arrivals
from tests.harness.step_times import Tables

COUNT = 2_000
TOKEN = PICOSECONDS // 10**6
"""Time of a prompt token, and of a decode step: one microsecond."""
RATE = 0.8 * 10**3
"""Requests a second, of services that take a millisecond on average."""
TOLERANCE = 1e-9

Seconds = npt.NDArray[np.floating[Any]]

POLICY = Policy(budget=1 << 40, threshold=1 << 40, blocks=1 << 30, most_running=1)
TABLES = Tables(
    fullness=np.array([1.0]),
    sequences=np.array([0.0, 1.0]),
    prompts=np.array([0.0, 1.0]),
    contexts=np.array([0.0]),
    base=TOKEN,
    step=0,
    starts=(0,),
    slopes=(0,),
    terms=(((1, 1), (0, TOKEN), (1,), (1,)),),
)


def _requests(seed: int, outputs: npt.NDArray[Any]) -> Requests:
    random = np.random.RandomState(seed)
    prompts = 1 + random.geometric(1 / 1000, COUNT)
    return Requests(
        arrivals(RATE, 1.0, random, COUNT),
        prompts.astype(np.int32),
        outputs.astype(np.int32),
        np.zeros(COUNT, np.int32),
    )


def _ends(requests: Requests, *services: Seconds) -> list[Seconds]:
    """When SimPy's servers, one after the other and first come first served, end each request: seconds by server."""
    environment = simpy.Environment()
    servers = [simpy.Resource(environment) for _ in services]
    ends: list[Seconds] = [np.zeros(COUNT) for _ in services]

    def request(number: int) -> Generator[simpy.Event]:
        yield environment.timeout(requests.arrival[number] / PICOSECONDS)
        for server, service, end in zip(servers, services, ends, strict=True):
            with server.request() as place:
                yield place
                yield environment.timeout(service[number])
            end[number] = environment.now

    for number in range(COUNT):
        environment.process(request(number))
    environment.run()
    return ends


def _simulated(requests: Requests, services: int) -> Simulated:
    return Simulation(requests, [POLICY] * services, [TABLES] * services).run()


def test_one_queue_is_that_of_the_package() -> None:
    """Each request is a prompt and one token, so its service is its prompt."""
    requests = _requests(1, np.ones(COUNT))
    service = requests.prompt * (TOKEN / PICOSECONDS)
    (ends,) = _ends(requests, service)
    assert (ends - requests.arrival / PICOSECONDS - service).mean() > 1e-3, "the queue is long enough to tell"
    done = _simulated(requests, 1)
    np.testing.assert_allclose(done.last / PICOSECONDS, ends, rtol=0, atol=TOLERANCE)


def test_prefill_and_decode_are_two_queues_in_tandem_of_the_package() -> None:
    """Decode takes one request at a time, with a step for each of its tokens but the first."""
    requests = _requests(2, 1 + np.random.RandomState(3).geometric(1 / 1000, COUNT))
    prefill, decode = (tokens * (TOKEN / PICOSECONDS) for tokens in (requests.prompt, requests.output - 1))
    prefilled, decoded = _ends(requests, prefill, decode)
    assert (decoded - decode - prefilled).mean() > 1e-3, "the second queue is long enough to tell"
    done = _simulated(requests, 2)
    np.testing.assert_allclose(done.first / PICOSECONDS, prefilled, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(done.last / PICOSECONDS, decoded, rtol=0, atol=TOLERANCE)
