"""A phase graph becomes the list of parts that its expansion consists of, without a row being made.

A part is one node of one copy of one micro-batch over all ranks of its team, as consecutive rows, or a few virtual
rows that keep edges linear: one for each group of a collective, one for each barrier between teams. Copies of a
segment are walked until the state that the next one starts from is that of the one before, moved by the rows of one
copy; the rest is that copy, repeated. So the work grows with segments and micro-batches, not with layers or ranks.

Every edge is from the end of a row to the start of another. A receive may start with its send, not after it: rows of
negative duration lead back from the end of a send to its start, and from there to the receive's earliest start.

Rows are numbered in topological order. Assumes a verified graph; the order of segments is that of `schedule.order`.
It knows no times.

The size of an expansion follows from the parts: slots are operator executions x ranks x replicas, from the grouped
graph alone. Rows and edges are those of the expansion of one replica: its slots, virtual rows, and slots of the next
decode step that share a lane with the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from dagc.export.issues import Issue, IssueGroup, groups_of_first_step
from dagc.graph.graph import INPUT, Node, PhaseGraph
from dagc.ops.op import Lane
from dagc.schedule.structure import messages, partner_of

_Reference = tuple[int, bool]
"""First row, and whether rows go by rank; else it is one row for all."""

_ROW_BYTES = 4 * 2 + 2 * 1 + 3 * 4 + 8 + 8
"""Four columns of 2 bytes, two of 1, three of 4, duration, first edge."""


class RowRole(IntEnum):
    """What the rows of a part are.

    `SLOT`: a node on each rank. `JOINED`: the same, for members of a group that start with it. Virtual are `GROUP`
    (one row a group, when its last issue is ready), `BARRIER` (one row, when the last rank is done), `BEGIN` (the
    start of a send, by rank) and `LEAD` (the end of a send less the duration of its receive).
    """

    SLOT = 0
    JOINED = 1
    GROUP = 2
    BARRIER = 3
    BEGIN = 4
    LEAD = 5


@dataclass(frozen=True, slots=True)
class RowBlock:
    """`count` rows from `first` on, of node `node` in copy `copy` of a issue's segment, with their edges.

    Row i waits for row `source + i` of each of `by_rank`, and for each of `of_all`. Edges are `edges` in all, from
    `first_edge` on.
    """

    role: RowRole
    first: int
    count: int
    first_edge: int
    edges: int
    issue: Issue
    node: int
    copy: int
    by_rank: tuple[int, ...]
    of_all: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Parts of consecutive rows, `times` over: row numbers and edges' ends grow by `rows`, copies by one."""

    parts: tuple[RowBlock, ...]
    first: int
    rows: int
    first_edge: int
    edges: int
    times: int


def chunks(graph: PhaseGraph) -> Iterator[Chunk]:
    """The expansion of one phase, step 0 and what of step 1 runs before its end, in order."""
    walk = _Walk(graph)
    for group in groups_of_first_step(graph):
        yield from walk.group(group)


@dataclass(slots=True)
class _Walk:
    """The rows that come next, and where everything is that a later row may wait for."""

    graph: PhaseGraph
    row: int = 0
    edge: int = 0
    parts: list[RowBlock] = field(default_factory=list[RowBlock])
    lanes: dict[tuple[int, Lane], int] = field(default_factory=dict[tuple[int, Lane], int])
    streams: dict[tuple[int, int, int], list[_Reference | None]] = field(
        default_factory=dict[tuple[int, int, int], "list[_Reference | None]"]
    )
    barriers: dict[int, int] = field(default_factory=dict[int, int])
    begins: dict[int, int] = field(default_factory=dict[int, int])
    sent: dict[tuple[int, int, int, int], RowBlock] = field(default_factory=dict[tuple[int, int, int, int], RowBlock])
    counts: dict[tuple[int, int, int, bool], int] = field(default_factory=dict[tuple[int, int, int, bool], int])

    def group(self, group: IssueGroup) -> Iterator[Chunk]:
        """The chunks of one issue group: copies one by one until they repeat, then the rest at once."""
        repeatable = not any(messages(self._template(issue)) for issue in group.issues)
        before = None
        for copy in range(group.count):
            first, first_edge = self.row, self.edge
            self.parts = []
            for issue in group.issues:
                self._copy(issue, issue.offset + copy)
            state = (self.row - first, self.edge - first_edge, *self._state(group))
            repeats = repeatable and state == before
            times = group.count - copy if repeats else 1
            yield Chunk(tuple(self.parts), first, self.row - first, first_edge, self.edge - first_edge, times)
            if repeats:
                self._leap(group, (times - 1) * (self.row - first), (times - 1) * (self.edge - first_edge))
                return
            before = state

    def _template(self, issue: Issue):
        return self.graph.templates[issue.segment.template]

    def _state(self, group: IssueGroup) -> tuple[object, ...]:
        """What the next copy waits for, counted back from the row that comes next."""
        lanes = tuple(self.row - self.lanes[key] for key in group.lanes(self.graph))
        streams = tuple(
            (self.row - found[0], found[1], self.row - self.barriers[found[0]] if found[0] in self.barriers else None)
            if found
            else None
            for issue in group.issues
            for found in self.streams[issue.invocation]
        )
        return lanes, streams

    def _leap(self, group: IssueGroup, rows: int, edges: int) -> None:
        self.row += rows
        self.edge += edges
        for key in group.lanes(self.graph):
            self.lanes[key] += rows
        for issue in group.issues:
            moved: list[_Reference | None] = []
            for found in self.streams[issue.invocation]:
                moved.append((found[0] + rows, found[1]) if found else None)
                if found and found[0] in self.barriers:
                    self.barriers[found[0] + rows] = self.barriers[found[0]] + rows
            self.streams[issue.invocation] = moved

    def _copy(self, issue: Issue, copy: int) -> None:
        template = self._template(issue)
        streams = self.streams.setdefault(issue.invocation, [None])
        sends = messages(template)
        made: list[RowBlock] = []
        for index, node in enumerate(template.nodes):
            made.append(self._node(issue, copy, index, node, made, streams, sends.get(index)))
        outputs = [self._value(made, streams, output) for output in template.outputs]
        self.streams[issue.invocation] = [self._on_own_team(issue, made, found) for found in outputs]

    def _value(self, made: list[RowBlock], streams: list[_Reference | None], index: int) -> _Reference | None:
        if index >= 0:
            return made[index].first, True
        return streams[min(INPUT - index, len(streams) - 1)]

    def _on_own_team(self, issue: Issue, made: list[RowBlock], found: _Reference | None) -> _Reference | None:
        """A stream goes by rank on the stage's own team; what another team yields is there when all are done."""
        if found is None or not found[1]:
            return found
        part = next((part for part in made if part.first == found[0]), None)
        other = part is not None and self._template(issue).nodes[part.node].team != 0
        return (self._barrier(part), False) if part and other else found

    def _node(
        self,
        issue: Issue,
        copy: int,
        index: int,
        node: Node,
        made: list[RowBlock],
        streams: list[_Reference | None],
        sends: bool | None,
    ) -> RowBlock:
        lane = (issue.program.teams[node.team], node.op.lane)
        partner = partner_of(node)
        by_rank = [self.lanes[lane]] if lane in self.lanes else []
        of_all: list[int] = []
        for source in (*node.inputs, *node.after):
            if source != partner:
                self._wait(issue, node, source, made, streams, by_rank, of_all)
        if partner is not None:
            self._meet(issue, copy, index, made[partner], False, by_rank, of_all)
        if sends is not None:
            send = self._sender(issue, sends)
            if send is not None:
                alike = send.count == self._width(issue, node)
                self._meet(issue, copy, index, send, alike, by_rank, of_all)
        part = self._slots(issue, copy, index, node, tuple(dict.fromkeys(by_rank)), tuple(dict.fromkeys(of_all)))
        if sends:
            self.sent[(*issue.invocation, self._number(issue, sends))] = part
        self.lanes[lane] = part.first
        return part

    def _wait(
        self,
        issue: Issue,
        node: Node,
        source: int,
        made: list[RowBlock],
        streams: list[_Reference | None],
        by_rank: list[int],
        of_all: list[int],
    ) -> None:
        found = self._value(made, streams, source)
        if found is None:
            return
        team = 0 if source < 0 else self._template(issue).nodes[source].team
        if not found[1]:
            of_all.append(found[0])
        elif team == node.team:
            by_rank.append(found[0])
        else:
            width = self._width_of(issue, team)
            of_all.append(self._barrier_at(found[0], width, issue))

    def _meet(
        self, issue: Issue, copy: int, index: int, send: RowBlock, alike: bool, by_rank: list[int], of_all: list[int]
    ) -> None:
        """A receive starts no earlier than its send, and ends no earlier."""
        width = self._width(issue, self._template(issue).nodes[index])
        begin = self.begins.get(send.first)
        if begin is None:
            made = self._add(RowRole.BEGIN, send.count, send.count, send.issue, send.node, send.copy, (send.first,), ())
            begin = self.begins[send.first] = made.first
        if alike:
            lead = self._add(RowRole.LEAD, width, width, issue, index, copy, (send.first,), ())
            by_rank += (begin, lead.first)
            return
        done = self._barrier(send)
        of_all.append(self._barrier_at(begin, send.count, send.issue))
        by_rank.append(self._add(RowRole.LEAD, width, width, issue, index, copy, (), (done,)).first)

    def _slots(
        self, issue: Issue, copy: int, index: int, node: Node, by_rank: tuple[int, ...], of_all: tuple[int, ...]
    ) -> RowBlock:
        width, degree = self._width(issue, node), len(by_rank) + len(of_all)
        communication = node.communication
        if communication is None or communication.groups.size <= 1:
            return self._add(RowRole.SLOT, width, width * degree, issue, index, copy, by_rank, of_all)
        groups = communication.groups.members.shape[0]
        edges = width * len(by_rank) + groups * len(of_all)
        group = self._add(RowRole.GROUP, groups, edges, issue, index, copy, by_rank, of_all)
        return self._add(RowRole.JOINED, width, width, issue, index, copy, (), (group.first,))

    def _barrier(self, part: RowBlock) -> int:
        return self._barrier_at(part.first, part.count, part.issue)

    def _barrier_at(self, first: int, width: int, issue: Issue) -> int:
        found = self.barriers.get(first)
        if found is None:
            made = self._add(RowRole.BARRIER, 1, width, issue, -1, 0, (first,), ())
            found = self.barriers[first] = made.first
        return found

    def _add(
        self,
        role: RowRole,
        count: int,
        edges: int,
        issue: Issue,
        node: int,
        copy: int,
        by_rank: tuple[int, ...],
        of_all: tuple[int, ...],
    ) -> RowBlock:
        part = RowBlock(role, self.row, count, self.edge, edges, issue, node, copy, by_rank, of_all)
        self.parts.append(part)
        self.row += count
        self.edge += edges
        return part

    def _width(self, issue: Issue, node: Node) -> int:
        return self._width_of(issue, node.team)

    def _width_of(self, issue: Issue, team: int) -> int:
        return self.graph.teams[issue.program.teams[team]].width

    def _number(self, issue: Issue, sends: bool) -> int:
        """How many messages of its direction the invocation had before this one."""
        key = (*issue.invocation, sends)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key] - 1

    def _sender(self, issue: Issue, sends: bool) -> RowBlock | None:
        """The send of the stage before, or of the last stage one step earlier."""
        if sends:
            return None
        number, last = self._number(issue, sends), len(self.graph.programs[0]) - 1
        if issue.stage == 0:
            return self.sent.get((issue.step - 1, issue.micro_batch, last, number))
        return self.sent.get((issue.step, issue.micro_batch, issue.stage - 1, number))


@dataclass(frozen=True, slots=True)
class SlotCount:
    """`slots` over all replicas of the class; `rows`, `edges` and `bytes` of the columns of one replica."""

    slots: int
    replicas: int
    rows: int
    edges: int
    bytes: int


def executions(graph: PhaseGraph) -> tuple[int, ...]:
    """Operator executions of one replica on each rank of a team, by team, in step 0."""
    uses = graph.uses
    found = [0] * len(graph.teams)
    for size, program, _, segment in graph.segments():
        for node in graph.templates[segment.template].nodes:
            found[program.teams[node.team]] += uses[size] * segment.count
    return tuple(found)


def slots(graph: PhaseGraph) -> int:
    """Operator executions x ranks of one replica, step 0."""
    return sum(times * team.width for times, team in zip(executions(graph), graph.teams, strict=True))


def count(graph: PhaseGraph) -> SlotCount:
    """The size of a phase."""
    rows = edges = 0
    for chunk in chunks(graph):
        rows += chunk.rows * chunk.times
        edges += chunk.edges * chunk.times
    source = 4 if rows < 2**31 else 8
    replicas = len(graph.replicas)
    return SlotCount(slots(graph) * replicas, replicas, rows, edges, _ROW_BYTES * rows + 8 + source * edges)
