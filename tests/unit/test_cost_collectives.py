"""Formulas of exchanges against arithmetic by hand, without measurements: shares and latencies as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.device import Backend, ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.graph.priced import Bound
from dagc.ops.communication import Leg, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.groups import Groups
from dagc.ops.token_exchange import Choices, ExchangeKernel
from tests.unit.operators import collective_cost, communication, exchange

DEVICE = DeviceSpec("gpu", 64e9, 2e12, {Dtype.BF16: 400e12}, 0.5, 0.5)
CLUSTER = ClusterSpec("lab", DEVICE, 64, 8, 400e9, 50e9, 1e-6, 5e-6, 0.5, 1.0, collectives=Backend.NCCL)
"""Achieved: 200 GB/s and 1 us inside a node, 50 GB/s and 5 us across."""

ENGINE = replace(CLUSTER, collectives=Backend.CUSTOM)


def groups(members: list[list[int]], nodes: list[int], local: list[int]) -> Groups:
    return Groups(np.array(members), np.array(nodes), np.array(local))


ONE_NODE = groups([list(range(8))], [1], [8])
TWO_NODES = groups([list(range(16))], [2], [8])
FOUR_NODES = groups([list(range(4))], [4], [1])


def microseconds(pattern: Pattern, load: float, over: Groups, cluster: ClusterSpec = CLUSTER) -> float:
    cost = collective_cost(communication(pattern, over, np.array([load])), Fabric(cluster))
    assert cost.duration.shape == (1,)
    return int(cost.duration[0]) / 1e6


@pytest.mark.parametrize(
    ("pattern", "over", "expected"),
    [
        # 2·7/8 · 8 MB / 200 GB/s = 70 us, 14 steps of 1 us
        (Pattern.ALL_REDUCE, ONE_NODE, 70 + 14),
        # 7/8 · 8 MB / 200 GB/s = 35 us, 7 steps
        (Pattern.ALL_GATHER, ONE_NODE, 35 + 7),
        (Pattern.REDUCE_SCATTER, ONE_NODE, 35 + 7),
        # 15/16 · 8 MB is 7.5 MB: 37.5 us on the link, 18.75 us over eight adapters of 50 GB/s; half as long adds
        # 1/16 to the fourth power: 37.5 · (17/16)^(1/4) = 38.072 us; 15 steps at the pace of the network
        (Pattern.ALL_GATHER, TWO_NODES, 38.0728 + 75),
        # tree: 4 · 8 MB / (8 · 50 GB/s) = 80 us beside 80 us on the link: 80 · 2^(1/4) = 95.1366 us, 14 steps
        # inside and 2 across: less than a ring's 76.146 + 150 us
        (Pattern.ALL_REDUCE, TWO_NODES, 95.1366 + 14 + 10),
        # one GPU a node: ring 2·3/4·8 MB / 50 GB/s = 240 us and 6 · 5 us; a tree would take 8·8 MB / 50 GB/s
        (Pattern.ALL_REDUCE, FOUR_NODES, 240 + 30),
        # 7/8 leaves for peers: 7 MB / 200 GB/s = 35 us, one latency
        (Pattern.ALL_TO_ALL, ONE_NODE, 35 + 1),
        # across 8/16·8 MB / 50 GB/s = 80 us beats inside 7/16·8 MB / 200 GB/s = 17.5 us; both latencies
        (Pattern.ALL_TO_ALL, TWO_NODES, 80 + 6),
        # 8 MB / 200 GB/s + 1 us; across 8 MB / 50 GB/s + 5 us
        (Pattern.SEND, groups([[0]], [1], [1]), 40 + 1),
        (Pattern.RECEIVE, groups([[0]], [2], [1]), 160 + 5),
    ],
)
def test_formula(pattern: Pattern, over: Groups, expected: float) -> None:
    assert microseconds(pattern, 8e6, over) == pytest.approx(expected, abs=1e-3)


def test_members_whose_hosts_launch_one_by_one_come_three_launches_apart() -> None:
    """35 us of bytes and 7 steps of 1 us, and 3 · 8 us until the last is there; a send waits for its receive anyway."""
    eager = replace(CLUSTER, device=replace(DEVICE, launch_seconds=8e-6))
    assert microseconds(Pattern.ALL_GATHER, 8e6, ONE_NODE, eager) == pytest.approx(35 + 7 + 24)
    assert microseconds(Pattern.SEND, 8e6, groups([[0]], [1], [1]), eager) == pytest.approx(40 + 1)


def test_engines_reduce_small_messages_in_one_shot_and_larger_ones_in_two() -> None:
    """8 ranks of a node: 7 · 8 kB / 200 GB/s + 1 us; 2·7/8 · 8 MB / 200 GB/s + 2 us; past 8 MiB NCCL's ring."""
    assert microseconds(Pattern.ALL_REDUCE, 8e3, ONE_NODE, ENGINE) == pytest.approx(0.28 + 1)
    assert microseconds(Pattern.ALL_REDUCE, 8e6, ONE_NODE, ENGINE) == pytest.approx(70 + 2)
    assert microseconds(Pattern.ALL_REDUCE, 9e6, ONE_NODE, ENGINE) == pytest.approx(78.75 + 14)
    assert microseconds(Pattern.ALL_REDUCE, 8e6, TWO_NODES, ENGINE) == microseconds(Pattern.ALL_REDUCE, 8e6, TWO_NODES)


def dispatch(
    kernel: ExchangeKernel, over: Groups, sent: float, taken: list[float], leg: Leg = Leg.DISPATCH, limit: int = 0
) -> float:
    """Microseconds of a dispatch of tokens of two choices each."""
    loads = (np.array([sent]), np.array(taken)) if leg is Leg.DISPATCH else (np.array(taken), np.array([sent]))
    found = exchange(leg, over, *loads, kernel, Choices(2, 4 * (limit > 0), limit), 1e3)
    cost = collective_cost(found, Fabric(ENGINE))
    return int(cost.duration.max()) / 1e6


def test_low_latency_kernels_send_a_row_for_each_choice() -> None:
    """Of 8 MB half crosses to the other node: 4 MB / 50 GB/s = 80 us, and 1 us + one hop of 5 us."""
    assert dispatch(ExchangeKernel.LOW_LATENCY, TWO_NODES, 8e6, [8e6]) == pytest.approx(80 + 6)
    assert dispatch(ExchangeKernel.LOW_LATENCY, ONE_NODE, 8e6, [8e6]) == pytest.approx(35 + 1)


def test_the_busiest_receiver_decides() -> None:
    """One of eight ranks takes twice the mean, whichever way rows go: twice 35 us."""
    taken = [16e6, 8e6, 8e6, 8e6, 8e6, 8e6, 8e6, 0.0]
    for leg in Leg:
        assert dispatch(ExchangeKernel.LOW_LATENCY, ONE_NODE, 8e6, taken, leg) == pytest.approx(70 + 1)


def test_normal_kernels_send_a_token_once_a_node() -> None:
    """4 MB of tokens with two choices each, 16 ranks on two nodes.

    Two choices reach 2·(1 - 1/4) = 1.5 nodes, half of them away: 3 MB / 50 GB/s = 60 us. They reach
    16·(1 - (15/16)²) = 1.9375 ranks, 7/8 of them by a link: 6.78125 MB / 200 GB/s = 33.90625 us. Joined
    60 · (1 + 0.10198)^(1/4) = 61.4745 us, and 1 + 5 us.
    """
    assert dispatch(ExchangeKernel.NORMAL, TWO_NODES, 8e6, [8e6]) == pytest.approx(61.4745 + 6, abs=1e-3)


def test_routing_limited_to_groups_reaches_fewer_nodes() -> None:
    """Four groups on four nodes, one of them for each token: 1 node, 3/4 of the time away: 3 MB / 50 GB/s = 60 us.

    Without a limit two choices reach 4·(1 - 9/16) = 1.75 nodes: 1.75·3/4·4 MB = 5.25 MB, 105 us. Latency 1 + 2·5 us.
    """
    assert dispatch(ExchangeKernel.NORMAL, FOUR_NODES, 8e6, [8e6], limit=1) == pytest.approx(60 + 11)
    assert dispatch(ExchangeKernel.NORMAL, FOUR_NODES, 8e6, [8e6]) == pytest.approx(105 + 11)


def test_a_group_of_one_exchanges_nothing() -> None:
    assert microseconds(Pattern.ALL_REDUCE, 8e6, groups([[0], [1]], [1, 1], [1, 1])) == 0


def test_each_group_has_its_own_cost_at_its_members() -> None:
    """Two pairs, one across nodes: 1 MB·1/2 / 200 GB/s + 1 us = 3.5 us, and / 50 GB/s + 5 us = 15 us."""
    over = groups([[0, 2], [1, 3]], [1, 2], [2, 1])
    cost = collective_cost(communication(Pattern.ALL_GATHER, over, np.array([1e6])), Fabric(CLUSTER))
    assert cost.duration.tolist() == [3_500_000, 15_000_000, 3_500_000, 15_000_000]


def test_a_group_waits_for_its_member_with_most() -> None:
    """Members with 1 and 3 MB: 3 MB·1/2 / 200 GB/s + 1 us = 8.5 us for both."""
    over = groups([[0, 1]], [1], [2])
    cost = collective_cost(communication(Pattern.ALL_GATHER, over, np.array([1e6, 3e6])), Fabric(CLUSTER))
    assert cost.duration.tolist() == [8_500_000]


def test_bound_is_the_larger_term() -> None:
    small, large = (
        collective_cost(communication(Pattern.SEND, groups([[0]], [1], [1]), np.array([load])), Fabric(CLUSTER))
        for load in (1e3, 1e8)
    )
    assert (small.bound, large.bound) == (Bound.LATENCY, Bound.NETWORK)


def test_an_unknown_rate_limits_nothing() -> None:
    cluster = replace(CLUSTER, link_bytes_per_second=None)
    cost = collective_cost(communication(Pattern.ALL_GATHER, ONE_NODE, np.array([8e6])), Fabric(cluster))
    assert cost.duration.tolist() == [7_000_000]


def test_words_and_source_without_measurements() -> None:
    cost = collective_cost(communication(Pattern.ALL_GATHER, ONE_NODE, np.array([8e6])), Fabric(CLUSTER))
    assert cost.formula == "all-gather (nccl) of 8 MB over 8 ranks of one node: link 200 GB/s, latency 7 us"
    assert (cost.source, cost.error) == ("α-β, cluster lab", None)
