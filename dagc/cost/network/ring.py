"""NCCL's all-reduce, all-gather and reduce-scatter.

Ring of n members, S bytes, p passes (2 for an all-reduce: Thakur, Rabenseifner, Gropp 2005):

    τ        = p (n-1)/n · S · joined(1 / (share · link),  1 / (local · network_share · network)) + S/n / (own · link)
    latency  = launch + p (n-1) · pace

A ring over several nodes is as many rings as a node has members, each through the adapter of another, so the network
carries what all local members bring. Link and network are busy at once: `joined` is the slower one, and somewhat more
where both are about as slow. A ring goes at the pace of its slowest step: `hop` where it crosses nodes, `step` where
not. A member's own part is copied in its memory, at `own` times the link's rate: with two members that is half of all.

NVLS (reduction in the switch): each member sends S and its n-th part of the result, S/n, and gets as much. In one node

    τ        = (1 + 1/n) · S / (nvls_share · link),   latency = nvls_launch,   ramp = nvls_ramp

and across nodes it may take the place of the ring's way inside a node, with n = local.

Tree across nodes, all-reduce of small messages (NCCL's double tree, a chain inside a node):

    τ        = joined(4 b S / (local · network_share · network),  2 S / (share · link))
    latency  = launch + 2 (local-1) · step + 2 ⌈log2 nodes⌉ · hop

b = 1 for two nodes, else 2: an inner node of the tree has two children, and in the published runs of nccl-tests on B200
large trees reach half of the ring's bus rate. Small messages go by protocol LL, of whose bytes half are flags: hence
4 b and not 2 b.

NCCL takes the algorithm that its own model finds fastest; here the fastest by these formulas. Its protocols (LL, LL128,
Simple) are not told apart: their switches are the steps in measurements of 0.5 to 8 MB, which `ramp` smooths over.
"""

from __future__ import annotations

import numpy as np

from dagc.cost.network.terms import ByGroup, Coefficients, Spread, Terms, Wires, faster, joined, pipelined


def gather(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    """All-gather of a result of `load` bytes, or reduce-scatter of as large an input."""
    return _ring(given, load, spread, wires, 1)


def all_reduce(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    """All-reduce by the fastest of ring, tree and NVLS."""
    best = _ring(given, load, spread, wires, 2)
    if bool((spread.nodes > 1).any()):
        best = faster(best, _tree(given, load, spread, wires))
    if "nvls_share" in given:
        best = faster(best, _nvls(given, load, spread, wires))
    return best


def _ring(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires, passes: int) -> Terms:
    across = spread.nodes > 1
    sent = passes * (spread.size - 1) / spread.size * load
    inside = np.where(spread.local > 1, sent / (given["share"] * wires.link), 0.0)
    if passes == 2 and "nvls_share" in given:
        reduced = (1.0 + 1.0 / spread.local) * load / (given["nvls_share"] * wires.link)
        inside = np.where(across, np.minimum(inside, reduced), inside)
    outside = sent / (spread.local * given["network_share"] * wires.network)
    own = load / spread.size / (given["own"] * wires.link) if "own" in given else 0.0
    full_rate = np.where(across, joined(inside, outside), inside) + own
    pace = np.where(across, given["hop"], given["step"])
    return Terms(pipelined(full_rate, given["ramp"]), given["launch"] + passes * (spread.size - 1) * pace)


def _tree(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    carried = np.where(spread.nodes > 2, 8.0, 4.0) * load
    full_rate = carried / (spread.local * given["network_share"] * wires.network)
    inside = np.where(spread.local > 1, 2.0 * load / (given["share"] * wires.link), 0.0)
    depth = 2.0 * np.ceil(np.log2(spread.nodes))
    latency = given["launch"] + 2.0 * (spread.local - 1) * given["step"] + depth * given["hop"]
    return Terms(pipelined(joined(full_rate, inside), given["ramp"]), latency)


def _nvls(given: Coefficients, load: ByGroup, spread: Spread, wires: Wires) -> Terms:
    full_rate = (1.0 + 1.0 / spread.size) * load / (given["nvls_share"] * wires.link)
    latency = np.where(spread.nodes > 1, np.inf, given["nvls_launch"])
    return Terms(pipelined(full_rate, given["nvls_ramp"]), latency)
