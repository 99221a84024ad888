"""Simulated queues against those of an independent package, customer by customer (Palmer et al., "Ciw: An open-source
discrete event simulation library", Journal of Simulation 13, 2019).

Ciw gets the same arrivals and times of service; a request is served by steps of the same length in the whole. Ciw adds
up floating point seconds and dagc whole picoseconds, so that waits may differ by some picoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ciw
import numpy as np
import numpy.typing as npt

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


def _waits(requests: Requests, services: Sequence[Seconds]) -> Seconds:
    """Ciw's waits in seconds at nodes of one server each, one after the other: shape (requests, nodes)."""
    gaps = np.diff(requests.arrival / PICOSECONDS, prepend=0.0)
    nodes = len(services)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps.tolist(), float("inf")]), *[None] * (nodes - 1)],
        service_distributions=[ciw.dists.Sequential(one.tolist()) for one in services],
        number_of_servers=[1] * nodes,
        routing=np.eye(nodes, k=1).tolist(),
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(COUNT, method="Finish")
    records = sorted(simulation.get_all_records(), key=lambda one: (one.node, one.id_number))
    assert [one.id_number for one in records] == list(range(1, COUNT + 1)) * nodes
    return np.array([one.waiting_time for one in records]).reshape(nodes, COUNT).T


def _simulated(requests: Requests, services: int) -> Simulated:
    return Simulation(requests, [POLICY] * services, [TABLES] * services).run()


def test_one_queue_is_that_of_the_package() -> None:
    """Each request is a prompt and one token, so its service is its prompt."""
    requests = _requests(1, np.ones(COUNT))
    expected = _waits(requests, [requests.prompt * (TOKEN / PICOSECONDS)])[:, 0]
    done = _simulated(requests, 1)
    assert expected.mean() > 1e-3, "the queue is long enough to tell"
    np.testing.assert_allclose((done.admitted - done.issued) / PICOSECONDS, expected, rtol=0, atol=TOLERANCE)


def test_prefill_and_decode_are_two_queues_in_tandem_of_the_package() -> None:
    """Decode takes one request at a time, with a step for each of its tokens but the first."""
    requests = _requests(2, 1 + np.random.RandomState(3).geometric(1 / 1000, COUNT))
    prefill = requests.prompt * (TOKEN / PICOSECONDS)
    decode = (requests.output - 1) * (TOKEN / PICOSECONDS)
    waits = _waits(requests, [prefill, decode])
    done = _simulated(requests, 2)
    ended = requests.arrival / PICOSECONDS + waits.sum(axis=1) + prefill + decode
    np.testing.assert_allclose(done.first / PICOSECONDS, ended - decode - waits[:, 1], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(done.last / PICOSECONDS, ended, rtol=0, atol=TOLERANCE)
