"""All-to-all between all members at once, and messages between two ranks.

All-to-all of S bytes a member (what it keeps included), n members of which l in a node:

    τ        = max((l-1)/n · S / (share · link),  (n-l)/n · S / (network_share · network)) + S/n / (own · link)
    latency  = launch + (l-1) · step + hop, the latter where there are several nodes

The messages to all peers are in flight at once, and those to other nodes add one `hop`. A message of S bytes to one
rank takes `step` inside a node or `hop` across, and S over the rate of the link or of the network: Hockney, "The
communication challenge for MPP" (1994).
"""

from __future__ import annotations

import numpy as np

from dagc.cost.network.terms import ByGroup, Coefficients, Spread, Terms, Wires, pipelined


def all_to_all(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    """All members send a part to each other."""
    near = (spread.local - 1) / spread.size * load / (given["share"] * wires.link)
    far = (spread.size - spread.local) / spread.size * load / (given["network_share"] * wires.network)
    own = load / spread.size / (given["own"] * wires.link) if "own" in given else 0.0
    latency = given["launch"] + (spread.local - 1) * given["step"] + (spread.nodes > 1) * given["hop"]
    return Terms(pipelined(np.maximum(near, far) + own, given["ramp"]), latency)


def message(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    """A send or a receive; `spread.nodes` is 1 where the peer is in the same node."""
    across = spread.nodes > 1
    link, network = given["share"] * wires.link, given["network_share"] * wires.network
    full_rate = np.where(across, load / network, load / link)
    return Terms(pipelined(full_rate, given["ramp"]), np.where(across, given["hop"], given["step"]))
