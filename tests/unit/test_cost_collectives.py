"""α-β formulas against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.collectives import collective_cost
from dagc.graph.graph import Communication, Groups, Pattern
from dagc.graph.priced import Bound

DEVICE = DeviceSpec("gpu", 64e9, 2e12, {Dtype.BF16: 400e12}, 0.5, 0.5)
CLUSTER = ClusterSpec("lab", DEVICE, 64, 8, 400e9, 50e9, 1e-6, 5e-6, 0.5, 1.0)
"""Achieved: 200 GB/s and 1 us inside a node, 50 GB/s and 5 us across."""


def groups(members: list[list[int]], nodes: list[int], local: list[int]) -> Groups:
    return Groups(np.array(members), np.array(nodes), np.array(local))


ONE_NODE = groups([list(range(8))], [1], [8])
TWO_NODES = groups([list(range(16))], [2], [8])


def microseconds(pattern: Pattern, load: float, over: Groups) -> float:
    cost = collective_cost(Communication(pattern, (), over, np.array([load])), CLUSTER)
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
        # inside 7/8 · 8 MB twice: 70 + 14 us; across 1 MB over 2 nodes: 2·1/2·1 MB / 50 GB/s = 20 us, 2 steps of 5 us
        (Pattern.ALL_REDUCE, TWO_NODES, 84 + 20 + 10),
        # inside 35 + 7 us; across 1/2·1 MB / 50 GB/s = 10 us + 5 us
        (Pattern.ALL_GATHER, TWO_NODES, 42 + 15),
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
    assert microseconds(pattern, 8e6, over) == pytest.approx(expected, abs=1e-6)


def test_a_group_of_one_exchanges_nothing() -> None:
    assert microseconds(Pattern.ALL_REDUCE, 8e6, groups([[0], [1]], [1, 1], [1, 1])) == 0


def test_each_group_has_its_own_cost_at_its_members() -> None:
    """Two pairs, one across nodes: 1 MB·1/2 / 200 GB/s + 1 us = 3.5 us, and / 50 GB/s + 5 us = 15 us."""
    over = groups([[0, 2], [1, 3]], [1, 2], [2, 1])
    cost = collective_cost(Communication(Pattern.ALL_GATHER, (), over, np.array([1e6])), CLUSTER)
    assert cost.duration.tolist() == [3_500_000, 15_000_000, 3_500_000, 15_000_000]


def test_a_group_waits_for_its_member_with_most() -> None:
    """Members with 1 and 3 MB: 3 MB·1/2 / 200 GB/s + 1 us = 8.5 us for both."""
    over = groups([[0, 1]], [1], [2])
    cost = collective_cost(Communication(Pattern.ALL_GATHER, (), over, np.array([1e6, 3e6])), CLUSTER)
    assert cost.duration.tolist() == [8_500_000]


def test_bound_is_the_larger_term() -> None:
    small, large = (
        collective_cost(Communication(Pattern.SEND, (), groups([[0]], [1], [1]), np.array([load])), CLUSTER)
        for load in (1e3, 1e8)
    )
    assert (small.bound, large.bound) == (Bound.LATENCY, Bound.NETWORK)


def test_an_unknown_rate_limits_nothing() -> None:
    cluster = replace(CLUSTER, link_bytes_per_second=None)
    cost = collective_cost(Communication(Pattern.ALL_GATHER, (), ONE_NODE, np.array([8e6])), cluster)
    assert cost.duration.tolist() == [7_000_000]
