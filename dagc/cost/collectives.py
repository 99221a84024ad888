"""Duration of an exchange: α-β by algorithm and topology.

Turns a communication's bytes and groups into seconds by rank. A message of S bytes takes α + S/B (Hockney, "The
communication challenge for MPP", 1994). With n members of a group, l of them in its fullest node, k nodes, S as
`Communication.bytes` defines it, B and α of the link inside a node or of the network across:

    all-reduce, one node         2 (n-1)/n · S/B + 2 (n-1) α             ring: Thakur, Rabenseifner, Gropp (2005)
    all-gather, reduce-scatter   (n-1)/n · S/B + (n-1) α                  ring: the same
    all-reduce across nodes      reduce-scatter of S over l, all-reduce of S/l over k on each rank's own NIC,
                                 all-gather of S over l                  two levels, as NCCL and Horovod do it
    all-gather across nodes      all-gather of S/l over k, then of S over l; reduce-scatter the reverse
    all-to-all                   max((l-1)/n · S/B inside, (n-l)/n · S/B across) + one α for each leg used
    send, receive                S/B + α

In an all-to-all the messages to all peers are in flight at once, so latency is paid once and not n-1 times, as
in DeepEP's kernels. B is the stated bandwidth times the stated efficiency. The costs are by group and each member
of a group has its group's; S is that of the member with most. Loads by copy and rank give costs by copy and rank. Not
modelled: contention between groups and with computation, and a hot receiver; an algorithm chosen by message size and
measured efficiencies belong in `_seconds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from dagc.catalog.device import ClusterSpec
from dagc.cost.duration import FREE, node_cost, rate_text
from dagc.graph.graph import Communication, Groups, Load, Pattern
from dagc.graph.priced import Bound, NodeCost
from dagc.units import format_bytes, format_seconds

ByGroup = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wire:
    """One level of the topology: achieved bytes/s of a GPU in one direction, and seconds of latency."""

    name: str
    bytes_per_second: float
    latency_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Seconds by group spent on bytes, and on latency."""

    bandwidth: ByGroup
    latency: ByGroup

    def __add__(self, other: Terms) -> Terms:
        """One after the other."""
        return Terms(self.bandwidth + other.bandwidth, self.latency + other.latency)


def link(cluster: ClusterSpec) -> Wire:
    """Inside a node. An unknown bandwidth limits nothing; `plan.missing` names it beforehand."""
    rate = (cluster.link_bytes_per_second or inf) * cluster.link_efficiency
    return Wire("link", rate, cluster.link_latency_seconds)


def network(cluster: ClusterSpec) -> Wire:
    """Across nodes."""
    rate = (cluster.network_bytes_per_second or inf) * cluster.network_efficiency
    return Wire("network", rate, cluster.network_latency_seconds)


def collective_cost(communication: Communication, cluster: ClusterSpec) -> NodeCost:
    """Cost of a communication node by rank; the bound is that of the slowest group."""
    groups = communication.groups
    pair = communication.pattern in (Pattern.SEND, Pattern.RECEIVE)
    if groups.size == 1 and not pair:
        return FREE
    load = _group_bytes(communication.bytes, groups)
    terms = _seconds(communication.pattern, load, groups, link(cluster), network(cluster))
    seconds = terms.bandwidth + terms.latency
    slowest = int(seconds.argmax())
    group = slowest % seconds.shape[-1]
    bound = Bound.NETWORK if terms.bandwidth.flat[slowest] >= terms.latency[group] else Bound.LATENCY
    wording = partial(_formula, communication.pattern, float(load.flat[slowest]), groups, group, cluster)
    source = f"α-β, cluster {cluster.name}"
    return node_cost(_by_rank(seconds, groups), bound if seconds.flat[slowest] else Bound.NONE, wording, source)


def _seconds(pattern: Pattern, load: ByGroup, groups: Groups, inside: Wire, across: Wire) -> Terms:
    """Seconds by group."""
    size, nodes = float(groups.size), groups.nodes.astype(np.float64)
    local = np.minimum(groups.local.astype(np.float64), size)
    if pattern is Pattern.ALL_REDUCE:
        scatter = _ring(local, load, inside)
        return scatter + scatter + _twice(_ring(nodes, load / local, across))
    if pattern in (Pattern.ALL_GATHER, Pattern.REDUCE_SCATTER):
        return _ring(local, load, inside) + _ring(nodes, load / local, across)
    if pattern is Pattern.ALL_TO_ALL:
        near = (local - 1) / size * load / inside.bytes_per_second
        far = (size - local) / size * load / across.bytes_per_second
        latency = (local > 1) * inside.latency_seconds + (nodes > 1) * across.latency_seconds
        return Terms(np.maximum(near, far), latency)
    near_peer = nodes == 1
    rate = np.where(near_peer, inside.bytes_per_second, across.bytes_per_second)
    return Terms(load / rate, np.where(near_peer, inside.latency_seconds, across.latency_seconds))


def _ring(members: ByGroup, load: ByGroup, wire: Wire) -> Terms:
    """Once round a ring: what an all-gather or a reduce-scatter takes; nothing for one member."""
    return Terms((members - 1) / members * load / wire.bytes_per_second, (members - 1) * wire.latency_seconds)


def _twice(terms: Terms) -> Terms:
    return terms + terms


def _group_bytes(load: Load, groups: Groups) -> ByGroup:
    """Bytes of the member with most, shape (groups,) or (copies, groups)."""
    if load.shape[-1] == 1:
        return np.broadcast_to(load, (*load.shape[:-1], groups.members.shape[0]))
    return load[..., groups.members].max(axis=-1)


def _by_rank(seconds: ByGroup, groups: Groups) -> ByGroup:
    """Each member's seconds, (width,) or (copies, width); one column where all groups have the same."""
    if bool((seconds == seconds[..., :1]).all()):
        return seconds[..., :1]
    ranks: ByGroup = np.zeros((*seconds.shape[:-1], groups.members.size), dtype=np.float64)
    ranks[..., groups.members] = seconds[..., None]
    return ranks


def _formula(pattern: Pattern, load: float, groups: Groups, slowest: int, cluster: ClusterSpec) -> str:
    nodes, local = int(groups.nodes[slowest]), int(groups.local[slowest])
    wires = [link(cluster)] if nodes == 1 else [network(cluster)] if local == 1 else [link(cluster), network(cluster)]
    rates = " and ".join(
        f"{wire.name} {rate_text(wire.bytes_per_second, 'bytes/s')}, α {format_seconds(wire.latency_seconds)}"
        for wire in wires
    )
    if pattern in (Pattern.SEND, Pattern.RECEIVE):
        return f"{pattern} of {format_bytes(load)}: {rates}"
    spread = f"over {groups.size} ranks" + (f", {local} in a node on {nodes} nodes" if nodes > 1 else " of one node")
    return f"{str(pattern).replace('_', '-')} of {format_bytes(load)} {spread}: {rates}"
