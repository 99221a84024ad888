"""The Chakra execution trace of one rank, made while it is written.

Turns the program of a team into nodes in program order, numbered from 1: what a copy repeats is worked out once.
Durations are whole microseconds. A computation takes at least one, and what that is too much or too little is made up
for by those that follow it on the rank, so that a rank computes as long as it should to half a microsecond wherever
operators take one on average. What communication takes is the network's to say.

What is there for the order alone is among `ctrl_deps`, and among `data_deps` too: there are readers that look at these
only, and without the order ranks would come to the collectives of a group in different orders and never end.

The phases of a deployment on the GPUs of every replica, and the communicator groups of their collectives.

A phase graph represents a class of replicas and names the ranks of the first. Here every replica, and every set of
replicas that hands the cache over together, has its own. Replicas without a sequence do nothing and are not there.
Groups are the partitions of teams as global ranks, of all replicas, numbered from 1; those with the same ranks have
one number. With them: how large a collective is for those who replay it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd

import numpy as np
import orjson

from dagc.export.chakra import wire
from dagc.export.chakra.rank_programs import MatchedMessage, ProgramEntry, RankProgram
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, first_rank
from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost, Picoseconds
from dagc.ops.communication import Collective
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.plan.deployment import Service
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPhase:
    """One phase of one replica: its timeline, and the global ranks of each team of the phase."""

    timeline: Timeline
    ranks: tuple[Ranks, ...]


def placed_phases(traced: Traced) -> dict[str, tuple[PlacedPhase, ...]]:
    """All replicas of each phase, by the name of the phase, in the order of time."""
    found: dict[str, tuple[PlacedPhase, ...]] = {}
    for name, shown in zip(phase_names(traced.graph), traced.timelines, strict=True):
        classes = (shown, *(other for other in traced.others if _alike(other, shown)))
        found[name] = tuple(PlacedPhase(line, ranks) for line in classes for ranks in _replicas(traced.plan, line))
    return found


def _alike(one: Timeline, other: Timeline) -> bool:
    a, b = one.priced.graph, other.priced.graph
    return (a.phase, a.service) == (b.phase, b.service)


def _replicas(plan: Plan, timeline: Timeline) -> Iterator[tuple[Ranks, ...]]:
    graph = timeline.priced.graph
    if graph.service == "handover":
        yield from _joint_replicas(plan)
        return
    own = first_rank(plan, graph, graph.replicas[0])
    for replica in graph.replicas:
        move = first_rank(plan, graph, replica) - own
        yield tuple(team.ranks + move for team in graph.teams)


def _joint_replicas(plan: Plan) -> Iterator[tuple[Ranks, ...]]:
    """Stages of prefill, then of decode, of each set of replicas that exchange the cache."""
    prefill, decode = plan.deployment.services
    joint = gcd(prefill.replicas, decode.replicas)
    for number in range(plan.deployment.replicas * joint):
        yield (*_stages(plan, prefill, number, joint), *_stages(plan, decode, number, joint))


def _stages(plan: Plan, service: Service, number: int, joint: int) -> Iterator[Ranks]:
    each = service.replicas // joint
    for stage in range(service.stages):
        held = range(number * each, (number + 1) * each)
        deployment, pool = plan.deployment, service.attention_pool
        yield np.concatenate([deployment.global_ranks(service, pool, stage, replica) for replica in held])


class GroupNumbers:
    """The numbers of all groups of a phase, in the order of replicas, teams and what these do."""

    def __init__(self, phase: Sequence[PlacedPhase], programs: dict[int, tuple[RankProgram, ...]]) -> None:
        """Of all replicas of a phase; `programs` by the identity of their timeline."""
        self._numbers: dict[tuple[int, ...], int] = {}
        self._by_rank: dict[tuple[int, int, int], Ranks] = {}
        for index, placed in enumerate(phase):
            for team, program in enumerate(programs[id(placed.timeline)]):
                self._add(index, placed, team, program)

    def of_rank(self, replica: int, team: int, groups: Groups, local: int) -> int:
        """The number of a local rank's group."""
        return int(self._by_rank[replica, team, id(groups)][local])

    def json(self) -> bytes:
        """The groups file: global ranks by the number as text."""
        return orjson.dumps({str(number): ranks for ranks, number in self._numbers.items()})

    def _add(self, replica: int, placed: PlacedPhase, team: int, program: RankProgram) -> None:
        templates = placed.timeline.priced.graph.templates
        for stretch in program.stretches:
            for entry in stretch.entries:
                collective = templates[entry.end.template].nodes[entry.end.node].communication
                if collective is None or entry.exchange or (replica, team, id(collective.groups)) in self._by_rank:
                    continue
                numbers = np.zeros(placed.ranks[team].size, dtype=np.int64)
                for members in collective.groups.members:
                    ranks = tuple(np.sort(placed.ranks[team][members]).tolist())
                    numbers[members] = self._numbers.setdefault(ranks, len(self._numbers) + 1)
                self._by_rank[replica, team, id(collective.groups)] = numbers


def collective_bytes(collective: Collective, copy: int, local: int) -> int:
    """`comm_size` of a collective for a local rank: that of the member of its group with most, the same for all."""
    load, groups = collective.bytes, collective.groups
    row = load[copy] if load.ndim > 1 else load
    members = groups.members[(groups.members == local).any(axis=1)][0] if row.size > 1 else np.zeros(1, dtype=np.int64)
    return collective.comm_size(float(row[members].max()))


def of_rank(values: Load | Picoseconds, copy: int, local: int) -> float:
    """The value of one local rank in one copy."""
    row = values[copy] if values.ndim > 1 else values
    return float(row[local if row.size > 1 else 0])


def part_sizes(sent: float, taken: Load) -> Ranks:
    """Bytes that a rank which sends so much in all sends to each that takes a share, whole and summing to the whole."""
    ends = np.rint(sent * np.cumsum(taken) / max(float(taken.sum()), 1.0)).astype(np.int64)
    return np.diff(ends, prepend=0)


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
