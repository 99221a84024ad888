"""NCCL's ring, of all-reduce, all-gather and reduce-scatter.

Ring of n members, S bytes, p passes (2 for an all-reduce: Thakur, Rabenseifner, Gropp 2005):

    τ        = p (n-1)/n · S · joined(1 / (share · link),  1 / (local · network_share · network)) + S/n / (own · link)
    latency  = launch + p (n-1) · step_time

A ring over several nodes is as many rings as a node has members, each through the adapter of another, so the network
carries what all local members bring. Link and network are busy at once: `joined` is the slower one, and somewhat more
where both are about as slow. A ring goes at the pace of its slowest step: `hop` where it crosses nodes, `step` where
not. A member's own part is copied in its memory, at `own` times the link's rate: with two members that is half of all.

Across nodes NVLS may take the place of the ring's way inside a node (`dagc.ops.all_reduce`), with n = local.
"""

from __future__ import annotations

import numpy as np

from dagc.ops.network import ByGroup, Coefficients, GroupSpread, TransferTime, Wires, joined, pipelined


def ring(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires, passes: int) -> TransferTime:
    """A ring of so many passes."""
    across = spread.nodes > 1
    sent = passes * (spread.size - 1) / spread.size * load
    inside = np.where(spread.local > 1, sent / (given["share"] * wires.link), 0.0)
    if passes == 2 and "nvls_share" in given:
        reduced = (1.0 + 1.0 / spread.local) * load / (given["nvls_share"] * wires.link)
        inside = np.where(across, np.minimum(inside, reduced), inside)
    outside = sent / (spread.local * given["network_share"] * wires.network)
    own = load / spread.size / (given["own"] * wires.link) if "own" in given else 0.0
    full_rate = np.where(across, joined(inside, outside), inside) + own
    step_time = np.where(across, given["hop"], given["step"])
    return TransferTime(pipelined(full_rate, given["ramp"]), given["launch"] + passes * (spread.size - 1) * step_time)


def gather(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    """All-gather of a result of `load` bytes, or reduce-scatter of as large an input."""
    return ring(given, load, spread, wires, 1)
