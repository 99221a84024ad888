"""Duration of a computation: the roofline.

Turns the FLOPs and HBM bytes of an operator into seconds by rank on one device:

    slowdown · max(flops / (peak[dtype] · compute efficiency), bytes / (bandwidth · memory efficiency))

`slowdown` is 1 but on ranks that the plan slows: by 10 % means that everything they compute takes 1.1 times as long.
Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model" (2009). Peaks and bandwidth
are the device's datasheet figures; the efficiencies are one flat, documented factor each for the device. A factor
that depends on the shape of the operator (tile quantisation, few rows, small grouped products) belongs in
`achieved`, which already gets the node. Not modelled: kernel launch, which hides behind the previous kernel in CUDA
graphs, and contention between lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.duration import node_cost, rate_text
from dagc.graph.graph import Load, Node
from dagc.graph.priced import Bound, NodeCost
from dagc.units import format_bytes, format_rate

Seconds = npt.NDArray[np.float64]

_STATED: Load = np.ones(1)
"""No rank slowed."""


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


def operator_cost(node: Node, device: DeviceSpec, activation: Dtype, slowdown: Load = _STATED) -> NodeCost:
    """Cost of a computation or routing node by rank (and copy); bound and formula are those of the slowest.

    `slowdown` has shape (1,) or (width,).
    """
    rates = achieved(device, node, activation)
    arithmetic: Seconds = node.flops / rates.flops_per_second
    memory: Seconds = node.memory_bytes / rates.bytes_per_second
    seconds = np.maximum(arithmetic, memory) * slowdown
    slowest = int(seconds.argmax())
    flops, moved = _of(node.flops, slowest, seconds), _of(node.memory_bytes, slowest, seconds)
    by_arithmetic = flops / rates.flops_per_second >= moved / rates.bytes_per_second
    bound = Bound.NONE if seconds.flat[slowest] == 0 else Bound.COMPUTE if by_arithmetic else Bound.MEMORY
    wording = partial(_formula, flops, moved, rates, _of(slowdown, slowest, seconds))
    return node_cost(seconds, bound, wording, f"roofline, {device.name}: {device.source}")


def _formula(flops: float, moved: float, rates: Rates, slowdown: float) -> str:
    arithmetic = f"{format_rate(flops, 'flop/s').removesuffix('/s')} / {rate_text(rates.flops_per_second, 'flop/s')}"
    memory = f"{format_bytes(moved)} / {rate_text(rates.bytes_per_second, 'bytes/s')}"
    slowed = "" if slowdown == 1 else f"{slowdown:g} · "
    return f"{slowed}max({arithmetic}, {memory}){rates.note}"


def _of(values: Load, index: int, whole: Load) -> float:
    """The element of `values` that stands at a flat index of what it was broadcast to."""
    if values.size == 1:
        return float(values.flat[0])
    return float(np.broadcast_to(values, whole.shape).flat[index])
