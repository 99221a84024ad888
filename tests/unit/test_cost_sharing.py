"""What is computed beside an exchange has the multiprocessors that are left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.sharing import beside_exchange, overlapped
from dagc.lower.lower import lower
from dagc.plan.deployment import Options
from tests.unit.lowering_plans import DENSE, layout, plan, service

DEVICE = DeviceSpec("gpu", 80e9, 3e12, {Dtype.BF16: 1320e12}, 0.8, 0.8, processors=132)


def test_twenty_of_132_multiprocessors_leave_a_peak_of_112() -> None:
    """1,320 TFLOP/s are 10 for each; memory stays."""
    shared = beside_exchange(DEVICE)
    assert shared.processors == 112
    assert shared.flops[Dtype.BF16] == pytest.approx(1120e12)
    assert shared.bandwidth_bytes_per_second == DEVICE.bandwidth_bytes_per_second


def test_an_unknown_device_is_left_alone() -> None:
    unknown = replace(DEVICE, processors=None)
    assert beside_exchange(unknown) is unknown


def test_kernels_of_high_throughput_take_multiprocessors_and_only_where_something_overlaps() -> None:
    wide = lower(plan(service(layout(dp=16), layout(ep=16), options=Options(overlap=2))))
    assert overlapped(wide.prefill, 2)
    assert not overlapped(wide.prefill, 1)
    assert not overlapped(wide.decode, 2)
    dense = lower(plan(service(layout(tp=2), None), model=DENSE))
    assert not overlapped(dense.prefill, 2)
