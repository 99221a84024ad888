"""What an exchange puts on the links inside a node and on the network, by rank.

Turns a communication into the bytes that each rank sends to others, as the algorithm moves them; S is the rank's size
of the communication, n the members of its group, l those in its node, d the nodes of the group:

    all-reduce                   2 (n-1)/n · S round a ring, of whose n hops d cross the network where d > 1
    all-gather, reduce-scatter   (n-1)/n · S, likewise
    all-to-all                   (l-1)/n · S inside the node, (n-l)/n · S across
    dispatch and combine         by normal kernels a row goes once to each node and from there to each rank that wants
                                 it (DeepEP); by low-latency kernels, and by NCCL, as an all-to-all
    send                         S, on the network where the peer is in another node; a receive sends nothing

The same volumes are in the formulas of `network`, which say how long they take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.cost.network.experts import distinct
from dagc.graph.graph import Communication, Exchange, Kernel, Load, Pattern


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Bytes that each rank sends, shaped like the load of the communication: (1,), (width,), or these by copy."""

    link: Load
    network: Load


def traffic(communication: Communication, merges: bool) -> Traffic:
    """The bytes of an exchange by kind of link. `merges`: kernels like DeepEP's carry dispatch and combine."""
    size, local, nodes = (_by_rank(communication, of) for of in ("size", "local", "nodes"))
    sent, exchange = communication.bytes, communication.exchange
    match communication.pattern:
        case Pattern.RECEIVE:
            return Traffic(np.zeros_like(sent), np.zeros_like(sent))
        case Pattern.SEND:
            return Traffic(sent * (nodes <= 1), sent * (nodes > 1))
        case Pattern.ALL_TO_ALL:
            if exchange and merges and exchange.kernel is Kernel.NORMAL:
                return _merged(sent, exchange, local, nodes)
            return Traffic(sent * (local - 1) / size, sent * (size - local) / size)
        case _:
            passes = 2 if communication.pattern is Pattern.ALL_REDUCE else 1
            moved = passes * sent * (size - 1) / size
            across = np.where(nodes > 1, nodes / size, 0.0)
            return Traffic(moved * (1 - across), moved * across)


def _merged(sent: Load, exchange: Exchange, local: Load, nodes: Load) -> Traffic:
    rows = sent / exchange.top
    limited = exchange.top_groups * np.maximum(1.0, nodes / exchange.groups) if exchange.groups else nodes
    reached = np.minimum(nodes, limited)
    far = distinct(reached, exchange.top) * (nodes - 1) / nodes
    near = distinct(reached * local, exchange.top) * (local - 1) / local
    return Traffic(rows * near, rows * far)


def _by_rank(communication: Communication, of: str) -> Load:
    """A figure of the group of each rank, shape (1,) where all groups have the same."""
    groups = communication.groups
    if of == "size":
        return np.full(1, float(groups.size))
    figures = groups.local if of == "local" else groups.nodes
    if bool((figures == figures[0]).all()):
        return np.full(1, float(figures[0]))
    ranks = np.zeros(groups.members.size)
    ranks[groups.members] = figures[:, None]
    return ranks
