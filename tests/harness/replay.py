"""A replay of Chakra traces by the rules of ASTRA-sim, to see that every rank comes to its end, and when.

A rank runs one computation and one send or collective at a time, of those that are ready the one with the lowest id; a
receive needs nothing but its message. A send and a receive are one where tag, ends and size agree. A collective begins
when the last member of its group has come to it; the members come to the collectives of a group in the same order.
Computations take their whole microseconds (roofline off). Times are exact fractions of a nanosecond. Under the eager
protocol a send needs nothing of its receiver; under rendezvous (`--rendezvous-protocol=true`) it begins when its
receive has been posted, and keeps its rank from other sends and collectives until it is done.

`Ring` prices communication by the formulas of ASTRA-sim for a ring without congestion. `Switch` prices an all-to-all
with all messages in flight at once, and a receive that is posted late as long as its message: what dagc assumes.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from tests.harness.chakra import (
    ALL_GATHER,
    ALL_REDUCE,
    ALL_TO_ALL,
    COLLECTIVE,
    COMP,
    RECEIVE,
    REDUCE_SCATTER,
    SEND,
    TraceNode,
    Traces,
)

_Message = tuple[int, int, int, int]
"""Tag, sender, receiver and bytes."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Nanoseconds of a hop, and bytes a nanosecond (GB/s)."""

    latency: Fraction
    bandwidth: Fraction
    posted_late: bool = False

    def step(self, size: Fraction) -> Fraction:
        """One message to a neighbour."""
        return self.latency + size / self.bandwidth

    def collective(self, kind: int, size: int, n: int) -> Fraction:
        """A collective of n ranks; `size` is that of the trace."""
        if kind == ALL_REDUCE:
            return 2 * (n - 1) * self.step(Fraction(size, n))
        if kind == REDUCE_SCATTER:
            return (n - 1) * self.step(Fraction(size, n))
        if kind == ALL_GATHER:
            return (n - 1) * self.step(Fraction(size))
        assert kind == ALL_TO_ALL, f"collective {kind} cannot be replayed"
        return self.all_to_all(Fraction(size, n), n)

    def all_to_all(self, part: Fraction, n: int) -> Fraction:
        """Round the ring, to the one next to it, to the one after that, and so on."""
        return Fraction(n * (n - 1), 2) * self.step(part)


class Switch(Ring):
    """Every rank has a port of its own to all others."""

    def all_to_all(self, part: Fraction, n: int) -> Fraction:
        """All parts leave one after the other, and latency is paid once."""
        return self.latency + (n - 1) * part / self.bandwidth


@dataclass(slots=True)
class Rank:
    """What a rank has to do yet. `ready` is a heap of ids."""

    nodes: dict[int, TraceNode]
    waits: dict[int, int]
    readers: dict[int, list[int]]
    ready: list[int]
    busy: set[str] = field(default_factory=set[str])
    left: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """When each node was done, in nanoseconds, by rank and name, and how many of a rank never were."""

    ends: dict[tuple[int, str], Fraction]
    stuck: dict[int, int]

    @property
    def makespan(self) -> float:
        """Seconds until the last node was done, those of the steps before and after aside."""
        return float(max(end for (_, name), end in self.ends.items() if " step " not in name)) / 1e9


class Replay:
    """One run of it."""

    def __init__(self, traces: Traces, network: Ring, is_rendezvous: bool = False) -> None:
        self._network, self._groups, self._is_rendezvous = network, traces.groups, is_rendezvous
        self._ranks = {rank: _begun(nodes) for rank, nodes in traces.ranks.items()}
        self._events: list[tuple[Fraction, int, int]] = []
        self._arrived: dict[_Message, Fraction] = {}
        self._waiting: dict[_Message, int] = {}
        self._posted: dict[_Message, tuple[int, int, Fraction]] = {}
        self._met: dict[tuple[str, int], list[tuple[int, int, int, int]]] = defaultdict(list)
        self._ends: dict[tuple[int, str], Fraction] = {}
        self._count: dict[tuple[int, str], int] = defaultdict(int)

    def run(self) -> Replayed:
        """Until nothing more can happen."""
        for rank in self._ranks:
            self._issue(rank, Fraction(0))
        while self._events:
            now, rank, identity = heapq.heappop(self._events)
            self._finish(rank, identity, now)
            self._issue(rank, now)
        return Replayed(self._ends, {rank: state.left for rank, state in self._ranks.items() if state.left})

    def _issue(self, rank: int, now: Fraction) -> None:
        state, later = self._ranks[rank], list[int]()
        while state.ready:
            identity = heapq.heappop(state.ready)
            lane = _lane(state.nodes[identity])
            if lane in state.busy:
                later.append(identity)
                continue
            if lane:
                state.busy.add(lane)
            self._begin(rank, identity, state.nodes[identity], now)
        state.ready = later
        heapq.heapify(state.ready)

    def _begin(self, rank: int, identity: int, node: TraceNode, now: Fraction) -> None:
        told = node.attributes
        assert told["is_cpu_op"] is False
        if node.type == COMP:
            assert told["tensor_size"] > 0
            assert node.micros > 0
            self._at(now + 1000 * node.micros, rank, identity)
        elif node.type == COLLECTIVE:
            self._meet(rank, identity, node, now)
        else:
            assert told["comm_size"] > 0
            key = (told["comm_tag"], told["comm_src"], told["comm_dst"], told["comm_size"])
            assert rank == key[1 if node.type == SEND else 2]
            (self._send if node.type == SEND else self._receive)(key, rank, identity, now)

    def _send(self, key: _Message, rank: int, identity: int, now: Fraction) -> None:
        assert key not in self._arrived, f"two messages {key}"
        assert key not in self._waiting, f"two messages {key}"
        if self._is_rendezvous and key not in self._posted:
            self._waiting[key] = identity
            return
        end = self._arrived[key] = now + self._network.step(Fraction(key[3]))
        self._at(end, rank, identity)
        if key in self._posted:
            other, received, posted = self._posted.pop(key)
            self._at(self._received(key, posted, end), other, received)

    def _receive(self, key: _Message, rank: int, identity: int, now: Fraction) -> None:
        if key in self._arrived:
            self._at(self._received(key, now, self._arrived[key]), rank, identity)
            return
        self._posted[key] = rank, identity, now
        if key in self._waiting:
            self._send(key, key[1], self._waiting.pop(key), now)

    def _received(self, key: _Message, posted: Fraction, arrived: Fraction) -> Fraction:
        late = self._network.step(Fraction(key[3])) if self._network.posted_late else 0
        return max(posted + late, arrived)

    def _meet(self, rank: int, identity: int, node: TraceNode, now: Fraction) -> None:
        told = node.attributes
        group = told["pg_name"]
        members = self._groups[group]
        assert rank in members
        assert len(members) > 1
        number = self._count[rank, group]
        self._count[rank, group] += 1
        met = self._met[group, number]
        met.append((rank, identity, told["comm_type"], told["comm_size"]))
        if len(met) < len(members):
            return
        assert {one[0] for one in met} == set(members)
        assert len({one[2:] for one in met}) == 1, f"members differ in {node.name}: {met}"
        end = now + self._network.collective(told["comm_type"], told["comm_size"], len(members))
        for other, waiting, _, _ in met:
            self._at(end, other, waiting)

    def _at(self, time: Fraction, rank: int, identity: int) -> None:
        heapq.heappush(self._events, (time, rank, identity))

    def _finish(self, rank: int, identity: int, now: Fraction) -> None:
        state = self._ranks[rank]
        state.busy.discard(_lane(state.nodes[identity]))
        self._ends[rank, state.nodes[identity].name] = now
        state.left -= 1
        for reader in state.readers[identity]:
            state.waits[reader] -= 1
            if not state.waits[reader]:
                heapq.heappush(state.ready, reader)


def _lane(node: TraceNode) -> str:
    return {COMP: "compute", RECEIVE: ""}.get(node.type, "communication")


def _begun(nodes: tuple[TraceNode, ...]) -> Rank:
    assert nodes, "a trace must not be empty"
    by_id = {node.id: node for node in nodes}
    assert len(by_id) == len(nodes)
    waits: dict[int, int] = {}
    readers: dict[int, list[int]] = defaultdict(list)
    for node in nodes:
        needed = {*node.order, *node.data}
        assert needed <= by_id.keys(), f"{node.name} waits for what is not there"
        waits[node.id] = len(needed)
        for one in needed:
            readers[one].append(node.id)
    ready = sorted(identity for identity, count in waits.items() if not count)
    return Rank(by_id, waits, readers, ready, left=len(nodes))
