"""Messages from one rank to another: a send and the receive that matches it.

A message of S bytes takes `step` inside a node or `hop` across, and S over the rate of the link or of the network:
Hockney, "The communication challenge for MPP" (1994). A send and a receive wait for each other in the schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.ops.communication import Algorithm, Communication, Pattern, Sent
from dagc.ops.fabric import Fabric
from dagc.ops.network import ByGroup, Coefficients, GroupSpread, TransferTime, Wires, pipelined
from dagc.ops.op import OpKind


def message(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    """A send or a receive; `spread.nodes` is 1 where the peer is in the same node."""
    across = spread.nodes > 1
    link, network = given["share"] * wires.link, given["network_share"] * wires.network
    full_rate = np.where(across, load / network, load / link)
    return TransferTime(pipelined(full_rate, given["ramp"]), np.where(across, given["hop"], given["step"]))


@dataclass(frozen=True, eq=False)
class PointToPoint(Communication):
    """One end of messages, each of `bytes`."""

    is_message = True
    family = OpKind.TRANSFER

    def algorithms(self, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric) -> list[Algorithm]:
        """NCCL's."""
        chosen = fabric.chosen("send/nccl")
        return [Algorithm(message(chosen.values, sizes[0], spread, fabric.wires), chosen)]


@dataclass(frozen=True, eq=False)
class Outgoing(PointToPoint):
    """To the ranks of another stage or team."""

    pattern = Pattern.SEND

    def sent(self, merges: bool) -> Sent:
        """On the network where the peer is in another node."""
        nodes = self.groups.nodes_by_rank
        return Sent(self.bytes * (nodes <= 1), self.bytes * (nodes > 1))


@dataclass(frozen=True, eq=False)
class Send(Outgoing):
    """Hidden states, sampled tokens, or the KV cache."""

    name = "send"
    title = "send"
    keeps = "tshdmfekvc"


@dataclass(frozen=True, eq=False)
class Receive(PointToPoint):
    """From the ranks of another stage or team; `matching` and `partner` name the send."""

    name = "receive"
    title = "receive"
    keeps = "m"
    pattern = Pattern.RECEIVE

    def sent(self, merges: bool) -> Sent:
        """Nothing."""
        return Sent(np.zeros_like(self.bytes), np.zeros_like(self.bytes))
