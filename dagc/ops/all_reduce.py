"""All-reduce: every member gets the sum over all of them.

By NCCL it is the fastest of a ring (`dagc.ops.ring`), NVLS and a tree.

NVLS (reduction in the switch): each member sends S and its n-th part of the result, S/n, and gets as much. In one node

    τ        = (1 + 1/n) · S / (nvls_share · link),   latency = nvls_launch,   ramp = nvls_ramp

Tree across nodes, all-reduce of small messages (NCCL's double tree, a chain inside a node):

    τ        = joined(4 b S / (local · network_share · network),  2 S / (share · link))
    latency  = launch + 2 (local-1) · step + 2 ⌈log2 nodes⌉ · hop

b = 1 for two nodes, else 2: an inner node of the tree has two children, and in the published runs of nccl-tests on B200
large trees reach half of the ring's bus rate. Small messages go by protocol LL, of whose bytes half are flags: hence
4 b and not 2 b.

NCCL takes the algorithm that its own model finds fastest; here the fastest by these formulas. Its protocols (LL, LL128,
Simple) are not distinguished: their switches are the steps in measurements of 0.5 to 8 MB, which `ramp` smooths over.

Engines run an all-reduce of their own inside a node on small messages, in a CUDA graph (vLLM, SGLang, TensorRT-LLM).
Every member reads its peers' memory over the link, without a ring. n members, S bytes:

    one shot   launch + (n-1) · step + (n-1) · S / (share · link)             each reads all of every peer
    two shots  launch_two + (n-1) · step + 2 (n-1)/n · S / (share_two · link)  reduce-scatter, then all-gather

The faster of the two; engines switch near where they are equal. Beyond `most` bytes an engine leaves the work to NCCL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.ops.communication import Algorithm, Collective, CollectiveType, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.network import ByGroup, Coefficients, GroupSpread, TransferTime, Wires, faster, joined, pipelined
from dagc.ops.ring import ring

MOST = 8 * 2**20
"""Bytes up to which an engine's own all-reduce is taken where nothing else is known: the limit of vLLM's."""


def custom_all_reduce(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    """All-reduce inside one node; infinite across nodes and beyond `most` bytes."""
    peers = spread.size - 1
    steps = peers * given["step"]
    one = TransferTime(peers * load / (given["share"] * wires.link), given["launch"] + steps)
    part = 2.0 * peers / spread.size * load
    two = TransferTime(part / (given["share_two"] * wires.link), given["launch_two"] + steps)
    best = faster(one, two)
    refused = (load > given.get("most", MOST)) | (spread.nodes > 1)
    return TransferTime(np.where(refused, np.inf, best.bandwidth), best.latency)


def all_reduce(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    """All-reduce by the fastest of ring, tree and NVLS."""
    best = ring(given, load, spread, wires, 2)
    if bool((spread.nodes > 1).any()):
        best = faster(best, _tree(given, load, spread, wires))
    if "nvls_share" in given:
        best = faster(best, _nvls(given, load, spread, wires))
    return best


def _tree(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    carried = np.where(spread.nodes > 2, 8.0, 4.0) * load
    full_rate = carried / (spread.local * given["network_share"] * wires.network)
    inside = np.where(spread.local > 1, 2.0 * load / (given["share"] * wires.link), 0.0)
    depth = 2.0 * np.ceil(np.log2(spread.nodes))
    latency = given["launch"] + 2.0 * (spread.local - 1) * given["step"] + depth * given["hop"]
    return TransferTime(pipelined(joined(full_rate, inside), given["ramp"]), latency)


def _nvls(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    full_rate = (1.0 + 1.0 / spread.size) * load / (given["nvls_share"] * wires.link)
    latency = np.where(spread.nodes > 1, np.inf, given["nvls_launch"])
    return TransferTime(pipelined(full_rate, given["nvls_ramp"]), latency)


@dataclass(frozen=True, eq=False)
class AllReduce(Collective):
    """`bytes` is the buffer."""

    name = "all_reduce"
    title = "all-reduce"
    keeps = "tshdmfekvc"
    pattern = Pattern.ALL_REDUCE
    chakra = CollectiveType.ALL_REDUCE
    passes = 2

    def algorithms(self, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric) -> list[Algorithm]:
        """NCCL's, and the engine's own where some group lies in a node."""
        chosen = fabric.chosen("all_reduce/nccl")
        found = [Algorithm(all_reduce(chosen.values, sizes[0], spread, fabric.wires), chosen)]
        if fabric.custom is not None and not bool((spread.nodes > 1).all()):
            own = fabric.chosen(fabric.custom)
            found.append(Algorithm(custom_all_reduce(own.values, sizes[0], spread, fabric.wires), own))
        return found
