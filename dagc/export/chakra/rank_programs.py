"""A phase graph becomes, for each team, the list of what one of its ranks does, with what it waits for.

All ranks of a team do the same things in the same order, so that one list serves them: entries count them from 0, and
dependencies of an entry are distances back. Copies of a segment are walked until the state that the next one
starts from is that of the one before; the rest is that copy, repeated. Waits between ranks are given by
groups and messages alone. A message to another pool goes from every rank to every rank, one entry each.

An operator that takes no time and exchanges nothing (its kernel is another's) is no entry: what waits for it waits for
what it waited for. Where a message comes from a step before the one shown, or goes to one after it, its other end
is before or after everything else, so that every message has two ends.

Assumes a verified graph; the order is that of `schedule.order`. It knows no times but which are nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dagc.export.issues import Issue, IssueGroup, groups_of_first_step
from dagc.graph.graph import INPUT, Node, PhaseGraph, StageProgram, Template
from dagc.graph.priced import NodeCost, PricedPhase
from dagc.ops.communication import Pattern
from dagc.ops.op import Lane
from dagc.schedule.structure import messages, partner_of


@dataclass(frozen=True, slots=True)
class End:
    """One end of a message: the team, the node of a template, and the copy of its segment in the first repetition."""

    team: int
    template: int
    node: int
    copy: int


@dataclass(frozen=True, slots=True)
class MatchedMessage:
    """A send and its receive. `tag` is theirs alone in the phase, counted from 0.

    `each`: every rank of the one team sends a part to every rank of the other; else rank r sends to rank r.
    `crosses_steps`: it brings a token of one decode step to the next.
    """

    tag: int
    sender: End
    receiver: End
    each: bool
    crosses_steps: bool


@dataclass(frozen=True, slots=True)
class ProgramEntry:
    """One operator in one copy, as its rank sees it: `count` things that stand one after the other.

    Each but the first waits for the one before it alone; the first waits for what is `data` and `order` places
    before it.
    """

    issue: Issue
    end: End
    count: int
    data: tuple[int, ...]
    order: tuple[int, ...]
    exchange: MatchedMessage | None


@dataclass(frozen=True, slots=True)
class RepeatedEntries:
    """Entries of one copy, `times` over. Copies grow by one, tags by `tags` each time."""

    entries: tuple[ProgramEntry, ...]
    times: int
    tags: int

    @property
    def count(self) -> int:
        """Things of one rank in all repetitions."""
        return self.times * sum(entry.count for entry in self.entries)


@dataclass(frozen=True, slots=True)
class RankProgram:
    """What each rank of a team does: ends of messages of the step before, all stretches, ends for the step after."""

    openers: tuple[ProgramEntry, ...]
    stretches: tuple[RepeatedEntries, ...]
    closers: tuple[ProgramEntry, ...]

    @property
    def count(self) -> int:
        """Things of one rank."""
        ends = sum(entry.count for entry in (*self.openers, *self.closers))
        return ends + sum(stretch.count for stretch in self.stretches)


@dataclass(frozen=True, slots=True)
class _Value:
    """What someone may wait for: entries of one team, by their number."""

    team: int
    places: tuple[int, ...]

    def moved(self, by: int) -> _Value:
        """The same, some repetitions later."""
        return _Value(self.team, tuple(place + by for place in self.places))


_Key = tuple[Issue, int]
"""Who receives a message, and how many of its messages come before it."""


def rank_programs(priced: PricedPhase) -> tuple[RankProgram, ...]:
    """The programs of all teams of a phase: step 0, and what of step 1 runs before its end."""
    walk = _Walk(priced)
    for group in groups_of_first_step(priced.graph):
        walk.group(group)
    return walk.finished()


def nodes_of_ranks(priced: PricedPhase) -> tuple[int, ...]:
    """How much one rank of each team does in step 0, counted from the grouped graph: at most what its program counts,
    for which every micro-batch is walked through. What of step 1 runs before the end is not counted.
    """
    graph, found = priced.graph, [0] * len(priced.graph.teams)
    for size, program, _, segment in graph.segments():
        template, times = graph.templates[segment.template], graph.uses[size] * segment.count
        partners = {
            partner: index for index, node in enumerate(template.nodes) if (partner := partner_of(node)) is not None
        }
        met = messages(template)
        for index, (node, cost) in enumerate(zip(template.nodes, priced.costs[segment.template], strict=True)):
            if not is_entry(node, cost):
                continue
            team, other, each = program.teams[node.team], None, True
            if index in partners:
                other = program.teams[template.nodes[partners[index]].team]
            elif (partner := partner_of(node)) is not None:
                other = program.teams[template.nodes[partner].team]
            elif index in met:
                programs = graph.programs[size]
                other = programs[(program.stage + (1 if met[index] else -1)) % len(programs)].teams[0]
                each = graph.teams[other].width != graph.teams[team].width
            found[team] += times * (graph.teams[other].width if other is not None and each else 1)
    return tuple(found)


def is_entry(node: Node, cost: NodeCost) -> bool:
    """Whether an operator is more than a name for a part of another's kernel."""
    communication = node.communication
    if node.fused_into is not None:
        return False
    exchanges = communication is not None and (
        communication.groups.size > 1 or communication.pattern in (Pattern.SEND, Pattern.RECEIVE)
    )
    return exchanges or bool(cost.duration.any())


@dataclass(slots=True)
class _Walk:
    """How many things each team has done, and where all is that a later one may wait for."""

    priced: PricedPhase
    next: list[int] = field(init=False)
    stretches: list[list[RepeatedEntries]] = field(init=False)
    entries: list[list[ProgramEntry]] = field(init=False)
    openers: list[list[ProgramEntry]] = field(init=False)
    lanes: dict[tuple[int, Lane], int] = field(default_factory=dict[tuple[int, Lane], int])
    streams: dict[tuple[int, int, int], list[_Value | None]] = field(
        default_factory=dict[tuple[int, int, int], "list[_Value | None]"]
    )
    sent: dict[_Key, MatchedMessage] = field(default_factory=dict[_Key, MatchedMessage])
    counts: dict[tuple[int, int, int, bool], int] = field(default_factory=dict[tuple[int, int, int, bool], int])
    tags: int = 0

    def __post_init__(self) -> None:
        teams = range(len(self.graph.teams))
        self.next = [0 for _ in teams]
        self.stretches, self.entries, self.openers = [[] for _ in teams], [[] for _ in teams], [[] for _ in teams]

    @property
    def graph(self) -> PhaseGraph:
        return self.priced.graph

    def group(self, group: IssueGroup) -> None:
        """Copies one by one until they repeat, then the rest at once."""
        repeatable = not any(messages(self._template(issue)) for issue in group.issues)
        before = None
        for copy in range(group.count):
            first, tag = list(self.next), self.tags
            for issue in group.issues:
                self._copy(issue, issue.offset + copy)
            made = [after - at for after, at in zip(self.next, first, strict=True)]
            state = (made, self.tags - tag, self._state(group))
            times = group.count - copy if repeatable and state == before else 1
            self._keep(times, self.tags - tag)
            if times > 1:
                self._leap(group, made, times - 1, self.tags - tag)
                return
            before = state

    def finished(self) -> tuple[RankProgram, ...]:
        """The programs, once all issue groups have run: what was sent and not received yet is received at the end."""
        closers: list[list[ProgramEntry]] = [[] for _ in self.graph.teams]
        for (issue, _), exchange in self.sent.items():
            entry = ProgramEntry(issue, exchange.receiver, self._parts(exchange, False), (), (), exchange)
            closers[exchange.receiver.team].append(entry)
        return tuple(
            RankProgram(tuple(before), tuple(repeated), tuple(after))
            for before, repeated, after in zip(self.openers, self.stretches, closers, strict=True)
        )

    def _template(self, issue: Issue) -> Template:
        return self.graph.templates[issue.segment.template]

    def _keep(self, times: int, tags: int) -> None:
        for stretches, entries in zip(self.stretches, self.entries, strict=True):
            if entries:
                stretches.append(RepeatedEntries(tuple(entries), times, tags))
                entries.clear()

    def _state(self, group: IssueGroup) -> tuple[object, ...]:
        """What the next copy waits for, counted back from what comes next."""
        lanes = tuple(self._back(team, self._on_lane(team, lane)) for team, lane in group.lanes(self.graph))
        streams = tuple(
            found and (found.team, self._back(found.team, found.places))
            for issue in group.issues
            for found in self.streams[issue.invocation]
        )
        return lanes, streams

    def _leap(self, group: IssueGroup, made: Sequence[int], times: int, tags: int) -> None:
        for team, count in enumerate(made):
            self.next[team] += times * count
        self.tags += times * tags
        for team, lane in group.lanes(self.graph):
            if (team, lane) in self.lanes:
                self.lanes[team, lane] += times * made[team]
        for issue in group.issues:
            streams = self.streams[issue.invocation]
            streams[:] = (found and found.moved(times * made[found.team]) for found in streams)

    def _copy(self, issue: Issue, copy: int) -> None:
        template = self._template(issue)
        streams = self.streams.setdefault(issue.invocation, [None])
        made: list[_Value] = []
        met: dict[int, MatchedMessage] = {}
        for index in range(len(template.nodes)):
            made.append(self._node(issue, copy, index, made, streams, met))
        self.streams[issue.invocation] = [_value(made, streams, output) for output in template.outputs]

    def _node(
        self,
        issue: Issue,
        copy: int,
        index: int,
        made: Sequence[_Value],
        streams: Sequence[_Value | None],
        met: dict[int, MatchedMessage],
    ) -> _Value:
        node = self._template(issue).nodes[index]
        team, lane, partner = issue.program.teams[node.team], node.op.lane, partner_of(node)
        data = _places(team, (_value(made, streams, i) for i in node.inputs if i != partner))
        after = _places(team, (_value(made, streams, i) for i in node.after if i != partner))
        order = tuple(dict.fromkeys((*after, *self._on_lane(team, lane))))
        if not is_entry(node, self.priced.costs[issue.segment.template][index]):
            return _Value(team, tuple(dict.fromkeys((*data, *order))))
        exchange = self._exchange(issue, copy, index, met)
        end = End(team, issue.segment.template, index, copy)
        count = 1 if exchange is None else self._parts(exchange, exchange.sender == end)
        order = tuple(place for place in order if place not in data)
        if exchange is not None and exchange.crosses_steps and exchange.receiver == end:
            # Posted at the beginning: under a rendezvous protocol the last stage could not go on before, nor the first
            # come here. Readers wait for the receive and for what comes before it in the schedule.
            self.entries[team].append(ProgramEntry(issue, end, count, (), (), exchange))
            self.next[team] += count
            return _Value(team, (self.next[team] - 1, *data, *order))
        entry = ProgramEntry(issue, end, count, self._back(team, data), self._back(team, order), exchange)
        self.entries[team].append(entry)
        return _Value(team, self._advance(team, lane, count))

    def _advance(self, team: int, lane: Lane, count: int) -> tuple[int]:
        """The last of `count` things more on a lane."""
        self.next[team] += count
        self.lanes[team, lane] = self.next[team] - 1
        return (self.next[team] - 1,)

    def _on_lane(self, team: int, lane: Lane) -> tuple[int, ...]:
        return (self.lanes[team, lane],) if (team, lane) in self.lanes else ()

    def _back(self, team: int, places: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.next[team] - place for place in places)

    def _parts(self, exchange: MatchedMessage, sends: bool) -> int:
        """Messages of one rank: one, or one for each rank of the other end."""
        other = exchange.receiver if sends else exchange.sender
        return self.graph.teams[other.team].width if exchange.each else 1

    def _exchange(self, issue: Issue, copy: int, index: int, met: dict[int, MatchedMessage]) -> MatchedMessage | None:
        """The message that a send or receive is an end of."""
        template = self._template(issue)
        partner = partner_of(template.nodes[index])
        if partner is not None:
            return met[partner]
        receiver = next((i for i, node in enumerate(template.nodes) if partner_of(node) == index), None)
        if receiver is not None:
            here, there = (self._end(issue.program, issue.segment.template, i, copy) for i in (index, receiver))
            met[index] = self._new(here, there, True, crosses_steps=False)
            return met[index]
        message = messages(template).get(index)
        if message is None:
            return None
        key = (*issue.invocation, message)
        number = self.counts[key] = self.counts.get(key, -1) + 1
        here = self._end(issue.program, issue.segment.template, index, copy)
        return self._send(issue, here, number) if message else self._receive(issue, here, number)

    def _send(self, issue: Issue, here: End, number: int) -> MatchedMessage:
        after = self._neighbour(issue, 1)
        there = next(end for i, end in enumerate(self._message_ends(after.program, False)) if i == number)
        exchange = self.sent[after, number] = self._new(
            here, there, self._differ(here, there), crosses_steps=after.step != issue.step
        )
        return exchange

    def _receive(self, issue: Issue, here: End, number: int) -> MatchedMessage:
        """What was sent before, or what a step that is not shown has sent: then its send comes first of all."""
        known = self.sent.pop((_place(issue), number), None)
        if known is not None:
            return known
        before = self._neighbour(issue, -1)
        there = next(end for i, end in enumerate(self._message_ends(before.program, True)) if i == number)
        exchange = self._new(there, here, self._differ(here, there), crosses_steps=True)
        self.openers[there.team].append(ProgramEntry(before, there, self._parts(exchange, True), (), (), exchange))
        return exchange

    def _new(self, sender: End, receiver: End, each: bool, crosses_steps: bool) -> MatchedMessage:
        self.tags += 1
        return MatchedMessage(self.tags - 1, sender, receiver, each, crosses_steps)

    def _differ(self, one: End, other: End) -> bool:
        return self.graph.teams[one.team].width != self.graph.teams[other.team].width

    def _neighbour(self, issue: Issue, by: int) -> Issue:
        """The invocation after or before, in the next or the last step where that is round the end of the stages."""
        programs = self.graph.programs[issue.size]
        round_, stage = divmod(issue.stage + by, len(programs))
        program = programs[stage]
        return Issue(issue.step + round_, issue.micro_batch, issue.size, stage, 0, 0, program.segments[0], program)

    def _message_ends(self, program: StageProgram, sends: bool) -> Iterator[End]:
        """The sends to, or the receives from, other invocations, in order."""
        for segment in program.segments:
            found = messages(self.graph.templates[segment.template])
            ends = [index for index, message in found.items() if message is sends]
            yield from (self._end(program, segment.template, i, copy) for copy in range(segment.count) for i in ends)

    def _end(self, program: StageProgram, template: int, node: int, copy: int) -> End:
        return End(program.teams[self.graph.templates[template].nodes[node].team], template, node, copy)


def _place(issue: Issue) -> Issue:
    """A issue as the place that its messages come to."""
    return issue._replace(position=0, offset=0, segment=issue.program.segments[0])


def _value(made: Sequence[_Value], streams: Sequence[_Value | None], index: int) -> _Value | None:
    return made[index] if index >= 0 else streams[min(INPUT - index, len(streams) - 1)]


def _places(team: int, values: Iterator[_Value | None]) -> tuple[int, ...]:
    """Where all values stand. Raises ValueError for one of another team, which only a message can bring."""
    found = [value for value in values if value is not None]
    if any(value.team != team for value in found):
        raise ValueError("a value crosses between teams without a message")
    return tuple(dict.fromkeys(place for value in found for place in value.places))
