"""A phase graph becomes the list of parts that its expansion consists of, without a row being made.

A part is one node of one copy of one micro-batch over all ranks of its team, as consecutive rows, or a few virtual
rows that keep edges linear: one for each group of a collective, one for each barrier between teams. Copies of a
segment are walked until the state that the next one starts from is that of the one before, moved by the rows of one
copy; the rest is that copy, repeated. So the work grows with segments and micro-batches, not with layers or ranks.

Every edge is from the end of a row to the start of another. A receive may start with its send, not after it: rows of
negative duration lead back from the end of a send to its start, and from there to the receive's earliest start.

Rows are numbered in topological order. Assumes a verified graph; the order of segments is that of `timeline.order`.
It knows no times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from dagc.expand.pairing import Message, messages, partner_of
from dagc.graph.graph import INPUT, Node, PhaseGraph
from dagc.ops.op import Lane
from dagc.timeline.order import Block, Member, period_blocks, periods_of_first_step

LANES = (Lane.COMPUTE, Lane.COMMUNICATION)
"""Lanes by number."""

_Reference = tuple[int, bool]
"""First row, and whether rows go by rank; else it is one row for all."""


class Role(IntEnum):
    """What the rows of a part are.

    `SLOT`: a node on each rank. `JOINED`: the same, for members of a group that start with it. Virtual are `GROUP`
    (one row a group, when its last member is ready), `BARRIER` (one row, when the last rank is done), `BEGIN` (the
    start of a send, by rank) and `LEAD` (the end of a send less the duration of its receive).
    """

    SLOT = 0
    JOINED = 1
    GROUP = 2
    BARRIER = 3
    BEGIN = 4
    LEAD = 5


@dataclass(frozen=True, slots=True)
class Part:
    """`count` rows from `first` on, of node `node` in copy `copy` of a member's segment, with their edges.

    Row i waits for row `source + i` of each of `by_rank`, and for each of `of_all`. Edges are `edges` in all, from
    `first_edge` on.
    """

    role: Role
    first: int
    count: int
    first_edge: int
    edges: int
    member: Member
    node: int
    copy: int
    by_rank: tuple[int, ...]
    of_all: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Parts of consecutive rows, `times` over: row numbers and edges' ends grow by `rows`, copies by one."""

    parts: tuple[Part, ...]
    first: int
    rows: int
    first_edge: int
    edges: int
    times: int


def chunks(graph: PhaseGraph) -> Iterator[Chunk]:
    """The expansion of one phase, step 0 and what of step 1 runs before its end, in order."""
    walk = _Walk(graph)
    for block in phase_blocks(graph):
        yield from walk.block(block)


def phase_blocks(graph: PhaseGraph) -> list[Block]:
    """Blocks up to the last one that step 0 is in, in order."""
    periods = range(periods_of_first_step(graph))
    blocks = [block for period in periods for block in period_blocks(graph, period)]
    while blocks and all(member.step > 0 for member in blocks[-1].members):
        blocks.pop()
    return blocks


@dataclass(slots=True)
class _Walk:
    """The rows that come next, and where everything that a later row may wait for stands."""

    graph: PhaseGraph
    row: int = 0
    edge: int = 0
    parts: list[Part] = field(default_factory=list[Part])
    lanes: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    streams: dict[tuple[int, int, int], list[_Reference | None]] = field(
        default_factory=dict[tuple[int, int, int], "list[_Reference | None]"]
    )
    barriers: dict[int, int] = field(default_factory=dict[int, int])
    begins: dict[int, int] = field(default_factory=dict[int, int])
    sent: dict[tuple[int, int, int, int], Part] = field(default_factory=dict[tuple[int, int, int, int], Part])
    counts: dict[tuple[int, int, int, bool], int] = field(default_factory=dict[tuple[int, int, int, bool], int])

    def block(self, block: Block) -> Iterator[Chunk]:
        """The chunks of one block: copies one by one until they repeat, then the rest at once."""
        repeatable = not any(messages(self._template(member)) for member in block.members)
        before = None
        for copy in range(block.count):
            first, first_edge = self.row, self.edge
            self.parts = []
            for member in block.members:
                self._copy(member, member.offset + copy)
            state = (self.row - first, self.edge - first_edge, *self._state(block))
            repeats = repeatable and state == before
            times = block.count - copy if repeats else 1
            yield Chunk(tuple(self.parts), first, self.row - first, first_edge, self.edge - first_edge, times)
            if repeats:
                self._leap(block, (times - 1) * (self.row - first), (times - 1) * (self.edge - first_edge))
                return
            before = state

    def _template(self, member: Member):
        return self.graph.templates[member.segment.template]

    def _used(self, block: Block) -> list[tuple[int, int]]:
        pairs = {
            (member.program.teams[node.team], LANES.index(node.op.lane))
            for member in block.members
            for node in self._template(member).nodes
        }
        return sorted(pairs)

    def _state(self, block: Block) -> tuple[object, ...]:
        """What the next copy waits for, counted back from the row that comes next."""
        lanes = tuple(self.row - self.lanes[key] for key in self._used(block))
        streams = tuple(
            (self.row - found[0], found[1], self.row - self.barriers[found[0]] if found[0] in self.barriers else None)
            if found
            else None
            for member in block.members
            for found in self.streams[member.invocation]
        )
        return lanes, streams

    def _leap(self, block: Block, rows: int, edges: int) -> None:
        self.row += rows
        self.edge += edges
        for key in self._used(block):
            self.lanes[key] += rows
        for member in block.members:
            moved: list[_Reference | None] = []
            for found in self.streams[member.invocation]:
                moved.append((found[0] + rows, found[1]) if found else None)
                if found and found[0] in self.barriers:
                    self.barriers[found[0] + rows] = self.barriers[found[0]] + rows
            self.streams[member.invocation] = moved

    def _copy(self, member: Member, copy: int) -> None:
        template = self._template(member)
        streams = self.streams.setdefault(member.invocation, [None])
        mail = messages(template)
        made: list[Part] = []
        for index, node in enumerate(template.nodes):
            made.append(self._node(member, copy, index, node, made, streams, mail.get(index)))
        outputs = [self._value(made, streams, output) for output in template.outputs]
        self.streams[member.invocation] = [self._on_own_team(member, made, found) for found in outputs]

    def _value(self, made: list[Part], streams: list[_Reference | None], index: int) -> _Reference | None:
        if index >= 0:
            return made[index].first, True
        return streams[min(INPUT - index, len(streams) - 1)]

    def _on_own_team(self, member: Member, made: list[Part], found: _Reference | None) -> _Reference | None:
        """A stream goes by rank on the stage's own team; what another team yields is there when all are done."""
        if found is None or not found[1]:
            return found
        part = next((part for part in made if part.first == found[0]), None)
        other = part is not None and self._template(member).nodes[part.node].team != 0
        return (self._barrier(part), False) if part and other else found

    def _node(
        self,
        member: Member,
        copy: int,
        index: int,
        node: Node,
        made: list[Part],
        streams: list[_Reference | None],
        message: Message | None,
    ) -> Part:
        lane = (member.program.teams[node.team], LANES.index(node.op.lane))
        partner = partner_of(node)
        by_rank = [self.lanes[lane]] if lane in self.lanes else []
        of_all: list[int] = []
        for source in (*node.inputs, *node.after):
            if source != partner:
                self._wait(member, node, source, made, streams, by_rank, of_all)
        if partner is not None:
            self._meet(member, copy, index, made[partner], False, by_rank, of_all)
        if message is not None:
            send = self._sender(member, message)
            if send is not None:
                alike = send.count == self._width(member, node)
                self._meet(member, copy, index, send, alike, by_rank, of_all)
        part = self._slots(member, copy, index, node, tuple(dict.fromkeys(by_rank)), tuple(dict.fromkeys(of_all)))
        if message is not None and message.sends:
            self.sent[self._key(member, message)] = part
        self.lanes[lane] = part.first
        return part

    def _wait(
        self,
        member: Member,
        node: Node,
        source: int,
        made: list[Part],
        streams: list[_Reference | None],
        by_rank: list[int],
        of_all: list[int],
    ) -> None:
        found = self._value(made, streams, source)
        if found is None:
            return
        team = 0 if source < 0 else self._template(member).nodes[source].team
        if not found[1]:
            of_all.append(found[0])
        elif team == node.team:
            by_rank.append(found[0])
        else:
            width = self._width_of(member, team)
            of_all.append(self._barrier_at(found[0], width, member))

    def _meet(
        self, member: Member, copy: int, index: int, send: Part, alike: bool, by_rank: list[int], of_all: list[int]
    ) -> None:
        """A receive starts no earlier than its send, and ends no earlier."""
        width = self._width(member, self._template(member).nodes[index])
        begin = self.begins.get(send.first)
        if begin is None:
            made = self._add(Role.BEGIN, send.count, send.count, send.member, send.node, send.copy, (send.first,), ())
            begin = self.begins[send.first] = made.first
        if alike:
            lead = self._add(Role.LEAD, width, width, member, index, copy, (send.first,), ())
            by_rank += (begin, lead.first)
            return
        done = self._barrier(send)
        of_all.append(self._barrier_at(begin, send.count, send.member))
        by_rank.append(self._add(Role.LEAD, width, width, member, index, copy, (), (done,)).first)

    def _slots(
        self, member: Member, copy: int, index: int, node: Node, by_rank: tuple[int, ...], of_all: tuple[int, ...]
    ) -> Part:
        width, degree = self._width(member, node), len(by_rank) + len(of_all)
        talk = node.communication
        if talk is None or talk.groups.size <= 1:
            return self._add(Role.SLOT, width, width * degree, member, index, copy, by_rank, of_all)
        groups = talk.groups.members.shape[0]
        edges = width * len(by_rank) + groups * len(of_all)
        group = self._add(Role.GROUP, groups, edges, member, index, copy, by_rank, of_all)
        return self._add(Role.JOINED, width, width, member, index, copy, (), (group.first,))

    def _barrier(self, part: Part) -> int:
        return self._barrier_at(part.first, part.count, part.member)

    def _barrier_at(self, first: int, width: int, member: Member) -> int:
        found = self.barriers.get(first)
        if found is None:
            made = self._add(Role.BARRIER, 1, width, member, -1, 0, (first,), ())
            found = self.barriers[first] = made.first
        return found

    def _add(
        self,
        role: Role,
        count: int,
        edges: int,
        member: Member,
        node: int,
        copy: int,
        by_rank: tuple[int, ...],
        of_all: tuple[int, ...],
    ) -> Part:
        part = Part(role, self.row, count, self.edge, edges, member, node, copy, by_rank, of_all)
        self.parts.append(part)
        self.row += count
        self.edge += edges
        return part

    def _width(self, member: Member, node: Node) -> int:
        return self._width_of(member, node.team)

    def _width_of(self, member: Member, team: int) -> int:
        return self.graph.teams[member.program.teams[team]].width

    def _number(self, member: Member, message: Message) -> int:
        """How many messages of its direction the invocation had before this one."""
        key = (*member.invocation, message.sends)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key] - 1

    def _key(self, member: Member, message: Message) -> tuple[int, int, int, int]:
        return (*member.invocation, self._number(member, message))

    def _sender(self, member: Member, message: Message) -> Part | None:
        """The send of the stage before, or of the last stage one step earlier."""
        if message.sends:
            return None
        number, last = self._number(member, message), len(self.graph.programs[0]) - 1
        if member.stage == 0:
            return self.sent.get((member.step - 1, member.micro_batch, last, number))
        return self.sent.get((member.step, member.micro_batch, member.stage - 1, number))
