"""What formulas of communications take and yield; pricing and fitting use the same.

All take coefficients by name, the bytes of each group, how the groups spread over nodes, and the stated rates of the
wires; they yield seconds by group. In every one of them

    seconds = latency + τ + 2 sqrt(τ · ramp)

where τ is the time that the bytes take at the full rate. An exchange is cut into chunks so that its steps overlap; of
all chunk sizes the best costs this much (latency of a chunk times the number of chunks against the time to fill the
pipeline; the optimum for pipelined transfers in Thakur, Rabenseifner, Gropp, "Optimization of collective communication
operations in MPICH", 2005, and van de Geijn, "On optimizing collective communication", 1991). `ramp` is what one chunk
costs beyond its bytes, in seconds: the larger it is, the more bytes an exchange needs to reach the full rate.

Coefficients with the same meaning everywhere: `launch`, seconds before anything moves; `step` and `hop`, seconds a step
inside a node and of one that crosses nodes; `share` and `network_share`, the achieved part of the stated rate of the
link and of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ByGroup = npt.NDArray[np.float64]

Coefficients = Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class GroupSpread:
    """How groups lie on nodes, by group: members, members in the fullest node, nodes."""

    size: ByGroup
    local: ByGroup
    nodes: ByGroup


@dataclass(frozen=True, slots=True, eq=False)
class Wires:
    """Stated bytes/s of one GPU in one direction, inside a node and across; infinite where unstated.

    The network's is the share of the node's adapters that falls on one GPU when all GPUs use them, as they do when
    all groups of a collective run at once. Arrays by group in a fit over several devices.
    """

    link: float | ByGroup
    network: float | ByGroup


@dataclass(frozen=True, slots=True, eq=False)
class TransferTime:
    """Seconds by group spent on bytes, and on latency."""

    bandwidth: ByGroup
    latency: ByGroup

    @property
    def seconds(self) -> ByGroup:
        """Both, one after the other."""
        return self.bandwidth + self.latency


TransferFormula = Callable[[Coefficients, ByGroup, GroupSpread, Wires], TransferTime]
"""Coefficients, bytes of the member with most, spread and wires to seconds."""


def pipelined(full_rate: ByGroup, ramp: float) -> ByGroup:
    """Seconds of bytes that take `full_rate` seconds at the full rate, in chunks of which each costs `ramp` more."""
    return full_rate + 2.0 * np.sqrt(full_rate * ramp) if ramp else full_rate


def faster(one: TransferTime, other: TransferTime) -> TransferTime:
    """The faster of two algorithms, by group."""
    first = one.seconds <= other.seconds
    return TransferTime(
        np.where(first, one.bandwidth, other.bandwidth), np.where(first, one.latency, np.asarray(other.latency))
    )


def joined(*limits: ByGroup) -> ByGroup:
    """Seconds of what several parts of a machine do at once: the fourth-power mean.

    The slowest where it stands apart, and 19 % more than either where two are equal: parts that share buffers and
    their flow control do not overlap perfectly. It is smooth, and fits rings whose link and adapters are about as fast.
    """
    total = limits[0] ** 4
    for limit in limits[1:]:
        total = total + limit**4
    return np.sqrt(np.sqrt(total))
