"""The Chakra execution trace of one rank, made while it is written.

Turns the program of a team into nodes in program order, numbered from 1: what a copy repeats is worked out once.
Durations are whole microseconds. A computation takes at least one, and what that is too much or too little is made up
for by those that follow it on the rank, so that a rank computes as long as it should to half a microsecond wherever
operators take one on average. What communication takes is the network's to say.

What is there for the order alone is among `ctrl_deps`, and among `data_deps` too: there are readers that look at these
only, and without the order ranks would come to the collectives of a group in different orders and never end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil

import numpy as np

from dagc.export.chakra import wire
from dagc.export.chakra.placement import GroupNumbers, PlacedPhase, collective_bytes, of_rank, part_sizes
from dagc.export.chakra.rank_programs import MatchedMessage, ProgramEntry, RankProgram
from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost
from dagc.ops.communication import Collective
from dagc.ops.load import Load

_MICROSECOND = 1_000_000
"""Picoseconds."""

_Made = tuple[wire.NodeType, bytes, int]
"""Type, attributes, and picoseconds."""


def idle_trace() -> bytes:
    """A rank without work; a trace must not be empty."""
    titled = wire.title("idle", wire.NodeType.COMP)
    return wire.header() + wire.node(1, titled, ((), ()), 1, wire.computation(0, 1))


class RankTrace:
    """The trace of local rank `local` of a team in the `replica`-th replica of a phase."""

    def __init__(self, placed: PlacedPhase, replica: int, team: int, local: int, groups: GroupNumbers) -> None:
        """`groups` are those of all replicas."""
        self._placed, self._replica, self._team, self._local, self._groups = placed, replica, team, local, groups
        self._next, self._owed = 1, 0
        self._known: dict[tuple[int, int, int], _Made] = {}

    def pieces(self, program: RankProgram) -> Iterator[bytes]:
        """The file in pieces, of one copy of some layer each."""
        yield wire.header() + b"".join(self._entries(program.openers, 0, 0))
        for stretch in program.stretches:
            for time in range(stretch.times):
                yield b"".join(self._entries(stretch.entries, time, time * stretch.tags))
        yield b"".join(self._entries(program.closers, 0, 0))

    def _entries(self, entries: tuple[ProgramEntry, ...], time: int, tags: int) -> Iterator[bytes]:
        for entry in entries:
            waits = _waits(self._before(entry.order), self._before(entry.data))
            if entry.exchange is None:
                yield self._one(entry, time, waits)
            else:
                yield from self._messages(entry, entry.exchange, time, waits, tags)

    def _before(self, back: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([self._next - by for by in back])

    def _title(self, entry: ProgramEntry, time: int, kind: wire.NodeType) -> bytes:
        """`moe.router layer 3 micro-batch 0`."""
        issue = entry.issue
        first = issue.segment.first_layer if issue.segment.template == entry.end.template else None
        layer = None if first is None else first + entry.end.copy + time
        return _title(self._node(entry).key, layer, issue.micro_batch, issue.step, kind)

    def _node(self, entry: ProgramEntry) -> Node:
        return self._placed.timeline.priced.graph.templates[entry.end.template].nodes[entry.end.node]

    def _cost(self, entry: ProgramEntry) -> NodeCost:
        return self._placed.timeline.priced.costs[entry.end.template][entry.end.node]

    def _one(self, entry: ProgramEntry, time: int, waits: wire.Waits) -> bytes:
        kind, attributes, duration = self._made(entry, entry.end.copy + time)
        micros = self._whole(duration) if kind is wire.NodeType.COMP else _rounded_up(duration)
        return self._write(self._title(entry, time, kind), waits, micros, attributes)

    def _whole(self, duration: int) -> int:
        """Microseconds of a computation, such that all until now come to what they should."""
        wanted = duration + self._owed
        micros = max(1, (wanted + _MICROSECOND // 2) // _MICROSECOND)
        self._owed = wanted - micros * _MICROSECOND
        return micros

    def _made(self, entry: ProgramEntry, copy: int) -> _Made:
        """What is known of an operator that is no message; kept, but where each copy has its own."""
        place = entry.end.template, entry.end.node
        if (found := self._known.get((*place, -1)) or self._known.get((*place, copy))) is not None:
            return found
        node, cost = self._node(entry), self._cost(entry)
        loads = (node.communication.bytes,) if node.communication else (node.flops, node.memory_bytes)
        alike = cost.duration.ndim == 1 and all(load.ndim == 1 for load in loads)
        kind, attributes = self._attributes(node, copy)
        made = kind, attributes, int(of_rank(cost.duration, copy, self._local))
        self._known[*place, -1 if alike else copy] = made
        return made

    def _attributes(self, node: Node, copy: int) -> tuple[wire.NodeType, bytes]:
        collective = node.op
        if not isinstance(collective, Collective):
            flops, moved = (of_rank(load, copy, self._local) for load in (node.flops, node.memory_bytes))
            return wire.NodeType.COMP, wire.computation(round(flops), ceil(moved))
        group = self._groups.of_rank(self._replica, self._team, collective.groups, self._local)
        size = collective_bytes(collective, copy, self._local)
        return wire.NodeType.COLLECTIVE, wire.collective(collective.chakra, size, group)

    def _messages(
        self, entry: ProgramEntry, exchange: MatchedMessage, time: int, waits: wire.Waits, tags: int
    ) -> Iterator[bytes]:
        """One message, or one with each rank of the other end, each after the one before it."""
        sends = exchange.sender == entry.end
        other = exchange.receiver if sends else exchange.sender
        own, ranks = int(self._placed.ranks[self._team][self._local]), self._placed.ranks[other.team]
        titled = self._title(entry, time, wire.NodeType.SEND if sends else wire.NodeType.RECEIVE)
        micros = _rounded_up(int(of_rank(self._cost(entry).duration, entry.end.copy + time, self._local)))
        for peer, size in self._parts(exchange, sends, time):
            far = int(ranks[peer])
            ends = (own, far) if sends else (far, own)
            yield self._write(titled, waits, micros, wire.message(size, *ends, exchange.tag + tags))
            waits = _waits((self._next - 1,), ())

    def _parts(self, exchange: MatchedMessage, sends: bool, time: int) -> Iterator[tuple[int, int]]:
        """Local rank at the other end, and bytes. Senders begin with different receivers, and a receiver takes
        what is sent to it in the order in which senders come to it.
        """
        sent = self._load(exchange, True)
        if not exchange.each:
            yield self._local, ceil(of_rank(sent, exchange.sender.copy + time, self._local))
            return
        senders, receivers = (self._placed.ranks[end.team].size for end in (exchange.sender, exchange.receiver))
        taken = self._load(exchange, False)
        taken = taken[exchange.receiver.copy + time] if taken.ndim > 1 else taken
        shares = np.broadcast_to(taken, (receivers,))
        if sends:
            sizes = part_sizes(of_rank(sent, exchange.sender.copy + time, self._local), shares)
            first = self._local % receivers
            yield from ((peer, int(sizes[peer])) for peer in (*range(first, receivers), *range(first)))
            return
        for peer in sorted(range(senders), key=lambda peer: (self._local - peer) % receivers):
            sizes = part_sizes(of_rank(sent, exchange.sender.copy + time, peer), shares)
            yield peer, int(sizes[self._local])

    def _load(self, exchange: MatchedMessage, sends: bool) -> Load:
        end = exchange.sender if sends else exchange.receiver
        message = self._placed.timeline.priced.graph.templates[end.template].nodes[end.node].communication
        if message is None:
            raise ValueError("an end of a message is a communication")
        return message.bytes

    def _write(self, titled: bytes, waits: wire.Waits, micros: int, attributes: bytes) -> bytes:
        self._next += 1
        return wire.node(self._next - 1, titled, waits, micros, attributes)


@lru_cache(maxsize=1 << 14)
def _title(key: str, layer: int | None, micro_batch: int, step: int, kind: wire.NodeType) -> bytes:
    """Kept, because the other ranks of a team do the same."""
    of_layer = "" if layer is None else f" layer {layer}"
    of_step = f" step {step:+}" if step else ""
    return wire.title(f"{key}{of_layer} micro-batch {micro_batch}{of_step}", kind)


def _waits(order: tuple[int, ...], data: tuple[int, ...]) -> wire.Waits:
    """The nodes of `ctrl_deps`, and those of `data_deps`."""
    return order, tuple(sorted({*order, *data}))


def _rounded_up(duration: int) -> int:
    return max(1, -(-duration // _MICROSECOND))
