"""Duration of a computation: the roofline.

Turns the FLOPs and HBM bytes of an operator into seconds by rank on one device:

    max(flops / (peak[dtype] · compute efficiency), bytes / (bandwidth · memory efficiency))

Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model" (2009). Peaks and bandwidth
are the device's datasheet figures; the efficiencies are one flat, documented factor each for the device. A factor
that depends on the shape of the operator (tile quantisation, few rows, small grouped products) belongs in
`achieved`, which already gets the node. Not modelled: kernel launch, which hides behind the previous kernel in CUDA
graphs, and contention between lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.duration import node_cost, rate_text
from dagc.graph.graph import Node
from dagc.graph.priced import Bound, NodeCost
from dagc.units import format_bytes, format_rate

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device achieves on one operator: FLOP/s and bytes/s. `note` says what stood in for a missing peak."""

    flops_per_second: float
    bytes_per_second: float
    note: str = ""


def achieved(device: DeviceSpec, node: Node, activation: Dtype) -> Rates:
    """Rates of a device on an operator. A type without a peak is computed as the activation type, and noted.

    An unknown figure limits nothing; `plan.missing` names those beforehand.
    """
    peak, note = device.flops.get(node.dtype), ""
    if peak is None:
        peak, note = device.flops.get(activation, inf), f" ({device.name} has no {node.dtype} peak: {activation})"
    bandwidth = device.bandwidth_bytes_per_second or inf
    return Rates(peak * device.compute_efficiency, bandwidth * device.memory_efficiency, note)


def operator_cost(node: Node, device: DeviceSpec, activation: Dtype) -> NodeCost:
    """Cost of a computation or routing node by rank; the bound is that of the slowest rank."""
    rates = achieved(device, node, activation)
    arithmetic: Seconds = node.flops / rates.flops_per_second
    memory: Seconds = node.memory_bytes / rates.bytes_per_second
    seconds = np.maximum(arithmetic, memory)
    slowest = int(np.argmax(seconds))
    by_arithmetic = _of(arithmetic, slowest) >= _of(memory, slowest)
    bound = Bound.NONE if seconds[slowest] == 0 else Bound.COMPUTE if by_arithmetic else Bound.MEMORY
    formula = _formula(_of(node.flops, slowest), _of(node.memory_bytes, slowest), rates)
    return node_cost(seconds, bound, formula, f"roofline, {device.name}: {device.source}")


def _formula(flops: float, moved: float, rates: Rates) -> str:
    arithmetic = f"{format_rate(flops, 'flop/s').removesuffix('/s')} / {rate_text(rates.flops_per_second, 'flop/s')}"
    memory = f"{format_bytes(moved)} / {rate_text(rates.bytes_per_second, 'bytes/s')}"
    return f"max({arithmetic}, {memory}){rates.note}"


def _of(values: Seconds, rank: int) -> float:
    return float(values[rank] if values.shape[0] > 1 else values[0])
