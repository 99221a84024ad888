"""The roofline against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.graph.priced import Bound
from tests.unit.operators import Work, operator_cost

DEVICE = DeviceSpec("gpu", 64e9, 2e12, {Dtype.BF16: 400e12}, 0.5, 0.5, "made up")
"""Achieved: 200 TFLOP/s and 1 TB/s."""


def test_arithmetic_bound() -> None:
    """2 GFLOP / 200 TFLOP/s = 10 us against 1 MB / 1 TB/s = 1 us."""
    cost = operator_cost(Work([2e9], [1e6]), DEVICE, Dtype.BF16)
    assert (cost.duration.tolist(), cost.bound) == ([10_000_000], Bound.COMPUTE)


def test_memory_bound() -> None:
    """20 MFLOP take 0.1 us, 3 MB take 3 us."""
    cost = operator_cost(Work([2e7], [3e6]), DEVICE, Dtype.BF16)
    assert (cost.duration.tolist(), cost.bound) == ([3_000_000], Bound.MEMORY)


def test_no_work_takes_no_time() -> None:
    cost = operator_cost(Work([0], [0]), DEVICE, Dtype.BF16)
    assert (cost.duration.tolist(), cost.bound) == ([0], Bound.NONE)


def test_uneven_load_keeps_its_ranks_and_even_load_none() -> None:
    uneven = operator_cost(Work([2e9, 4e9], [1e6]), DEVICE, Dtype.BF16)
    assert uneven.duration.tolist() == [10_000_000, 20_000_000]
    even = operator_cost(Work([2e9, 2e9], [1e6]), DEVICE, Dtype.BF16)
    assert even.duration.tolist() == [10_000_000]


def test_a_type_without_a_peak_is_computed_as_the_activation_type_and_says_so() -> None:
    cost = operator_cost(Work([2e9], [0], Dtype.FP8), DEVICE, Dtype.BF16)
    assert cost.duration.tolist() == [10_000_000]
    assert "no fp8 peak" in cost.formula
    own = replace(DEVICE, flops={Dtype.BF16: 400e12, Dtype.FP8: 800e12})
    assert operator_cost(Work([2e9], [0], Dtype.FP8), own, Dtype.BF16).duration.tolist() == [5_000_000]


def test_without_a_cuda_graph_nothing_is_shorter_than_the_time_between_two_launches() -> None:
    """3 MB take 3 us, and the host launches every 8 us; 20 MB take 20 us whatever the host does."""
    eager = replace(DEVICE, launch_seconds=8e-6)
    assert operator_cost(Work([2e7], [3e6]), eager, Dtype.BF16).duration.tolist() == [8_000_000]
    assert operator_cost(Work([2e7], [20e6]), eager, Dtype.BF16).duration.tolist() == [20_000_000]
    assert operator_cost(Work([0], [0]), eager, Dtype.BF16).duration.tolist() == [0]
    bounds = [operator_cost(Work([2e7], [moved]), eager, Dtype.BF16).bound for moved in (3e6, 20e6)]
    assert bounds == [Bound.LATENCY, Bound.MEMORY]
