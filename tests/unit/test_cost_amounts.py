"""Amounts of work by rank: which ranks are alike, and the cost of a node from those of its amounts."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.part import Part
from dagc.catalog.presets import load_device
from dagc.cost.amounts import Partition, PricedAmount, amounts_of, cost_by_amount
from dagc.cost.collectives import collective_costs
from dagc.cost.operators import operator_costs
from dagc.graph.priced import Bound, NodeCost
from dagc.ops.communication import Pattern
from dagc.ops.elementwise import Activation, Norm
from dagc.ops.fabric import Fabric
from dagc.ops.gemm import Gemm, Matrix
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.ops.op import Setting
from tests.unit.operators import collective_cost, communication, operator_cost

ROOFLINE = DeviceSpec("gpu", 64e9, 2e12, {Dtype.BF16: 400e12}, 0.5, 0.5, "made up")


def cost(picoseconds: int, name: str) -> NodeCost:
    return NodeCost(np.array([picoseconds]), Bound.COMPUTE, lambda: name, name)


def test_one_amount_where_all_ranks_are_alike() -> None:
    found = amounts_of((np.array([3.0]), np.array([5.0])), [])
    assert found is not None
    assert (found.each, found.partition) == ([(3.0, 5.0)], None)


def test_amounts_in_the_order_of_ranks() -> None:
    met: list[Partition] = []
    found = amounts_of((np.array([2.0, 1.0, 2.0]), np.array([7.0])), met)
    assert found is not None
    assert found.each == [(2.0, 7.0), (1.0, 7.0)]
    assert met[0].classes.tolist() == [0, 1, 0]


def test_a_partition_that_was_met_serves_loads_that_it_holds_for_and_no_others() -> None:
    met: list[Partition] = []
    amounts_of((np.array([2.0, 2.0, 1.0]),), met)
    coarser, finer = np.array([9.0, 9.0, 4.0]), np.array([9.0, 8.0, 4.0])
    same, other = amounts_of((coarser,), met), amounts_of((coarser, finer), met)
    assert same is not None
    assert other is not None
    assert (same.partition, len(met)) == (met[0], 2)
    assert other.each == [(9.0, 9.0), (9.0, 8.0), (4.0, 4.0)]


@pytest.mark.parametrize("load", [np.arange(65.0), np.ones((2, 3))])
def test_no_amounts_of_wide_loads_and_loads_by_copy(load: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    assert amounts_of((load,), []) is None


def test_the_slowest_amount_speaks_for_the_node_and_each_rank_has_its_time() -> None:
    amounts = amounts_of((np.array([1.0, 2.0, 1.0]),), [])
    known = {(1.0,): PricedAmount(cost(10, "quick"), 1.0), (2.0,): PricedAmount(cost(20, "slow"), 2.0)}
    assert amounts is not None
    found = cost_by_amount(amounts, known)
    assert (found.duration.tolist(), found.source) == ([10, 20, 10], "slow")


def test_ranks_of_one_time_have_one_number() -> None:
    amounts = amounts_of((np.array([1.0, 2.0]),), [])
    known = {(1.0,): PricedAmount(cost(10, "first"), 1.0), (2.0,): PricedAmount(cost(10, "second"), 1.0)}
    assert amounts is not None
    found = cost_by_amount(amounts, known)
    assert (found.duration.tolist(), found.source) == ([10], "first")


def loads(*numbers: float) -> Load:
    return np.array(numbers)


def matrix(n: int, k: int, part: Part = Part.OTHER) -> Matrix:
    return Matrix(n, k, Stored(Dtype.BF16), part)


OPS = (
    Norm(Part.OTHER, loads(4, 8, 4), 125_000, Dtype.BF16),
    Norm(Part.OTHER, loads(4), 125_000, Dtype.BF16),
    Activation(Part.EXPERTS, loads(2, 4, 2), 250_000, Dtype.BF16, 2),
    Gemm(loads(8192, 8192, 8192), matrix(4096, 1024), Dtype.BF16),
    Gemm(loads(16), matrix(512, 512), Dtype.BF16),
    GroupedGemm(
        loads(512, 1024, 512),
        loads(3, 4, 3),
        matrix(2048, 7168, Part.EXPERTS),
        Dtype.BF16,
        4,
        64,
        loads(600, 1100, 600),
        loads(3, 4, 3),
    ),
)


@pytest.mark.parametrize("slowdown", [[1.0], [1.0, 1.0, 1.1]])
@pytest.mark.parametrize("measured", [False, True])
def test_nodes_cost_together_what_they_cost_alone(slowdown: list[float], measured: bool) -> None:
    """And once more with all of it known, which is then not priced again."""
    cluster = load_device("h100-sxm")
    assert cluster is not None
    device = cluster.device if measured else ROOFLINE
    known: dict[object, dict[tuple[float, ...], PricedAmount]] = {}
    slowed = np.array(slowdown)
    alone = [operator_cost(op, device, Dtype.BF16, slowed) for op in OPS]
    for _ in range(2):
        together = operator_costs(OPS, Setting(device, Dtype.BF16), known, slowed)
        assert [one.duration.tolist() for one in together] == [one.duration.tolist() for one in alone]
        assert [(one.bound, one.source, one.formula) for one in together] == [
            (one.bound, one.source, one.formula) for one in alone
        ]


def test_exchanges_cost_together_what_they_cost_alone() -> None:
    """Among them groups inside a node and groups across nodes, alone and side by side."""
    cluster = load_device("h100-sxm")
    assert cluster is not None
    pairs = np.arange(4).reshape(2, 2)
    inside, across = (
        Groups(pairs, np.array([1, 1]), np.array([2, 2])),
        Groups(pairs, np.array([2, 2]), np.array([1, 1])),
    )
    both = Groups(pairs, np.array([1, 2]), np.array([2, 1]))
    sent = np.array([1e5]), np.array([1e5, 4e7, 1e5, 1e5])
    patterns = (Pattern.ALL_REDUCE, Pattern.ALL_GATHER)
    talks = [communication(p, g, load) for p in patterns for g in (inside, across, both) for load in sent]
    fabric = Fabric(cluster)
    together = collective_costs(talks, fabric, {})
    alone = [collective_cost(talk, fabric) for talk in talks]
    assert [one.duration.tolist() for one in together] == [one.duration.tolist() for one in alone]
    assert [(one.source, one.formula) for one in together] == [(one.source, one.formula) for one in alone]
    assert len(together[1].duration) == 4
