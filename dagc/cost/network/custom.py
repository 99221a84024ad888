"""The all-reduce that engines run inside a node on small messages, in a CUDA graph (vLLM, SGLang, TensorRT-LLM).

Every member reads its peers' memory over the link, without a ring. n members, S bytes:

    one shot   launch + (n-1) · step + (n-1) · S / (share · link)             each reads all of every peer
    two shots  launch_two + (n-1) · step + 2 (n-1)/n · S / (share_two · link)  reduce-scatter, then all-gather

The faster of the two; engines switch near where they are equal. Beyond `most` bytes an engine leaves the work to NCCL.
"""

from __future__ import annotations

import numpy as np

from dagc.cost.network.terms import ByGroup, Coefficients, Spread, Terms, Wires, faster

MOST = 8 * 2**20
"""Bytes up to which an engine's own all-reduce is taken where nothing else is known: the limit of vLLM's."""


def custom_all_reduce(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    """All-reduce inside one node; infinite across nodes and beyond `most` bytes."""
    peers = spread.size - 1
    steps = peers * given["step"]
    one = Terms(peers * load / (given["share"] * wires.link), given["launch"] + steps)
    part = 2.0 * peers / spread.size * load
    two = Terms(part / (given["share_two"] * wires.link), given["launch_two"] + steps)
    best = faster(one, two)
    refused = (load > given.get("most", MOST)) | (spread.nodes > 1)
    return Terms(np.where(refused, np.inf, best.bandwidth), best.latency)
