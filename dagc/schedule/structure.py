"""The steps of a template: all that a schedule needs of its nodes except durations and the members of groups.

Values of a copy are numbered: the lanes, the streams, then the end of each step. Two reductions turn nodes into steps,
both exact because no duration is negative. A node does not wait for what something else that it waits for has waited
for. Nodes of one lane of which each waits for the one before alone, and nothing else waits for that one, are one step.

The reversed graph has the same nodes with time reversed; its earliest times are the latest times of the original.
Most templates have one of a few dozen structures, so those are kept, by what they are made of.

Assumes nodes in topological order, and streams on the stage's own team (program-local team 0). An edge to the partner
of a receive is part of the message and not waited for a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dagc.graph.graph import Node, Template
from dagc.ops.communication import Matching, Pattern
from dagc.ops.op import Lane

LANES = (Lane.COMPUTE, Lane.COMMUNICATION)
"""Lanes of a rank; lane number `2 · team + index`."""

MOST_STRUCTURES = 512
"""Structures that are kept."""

NONE = -1
"""No row, lane or message, as a word."""


class Wait(NamedTuple):
    """A value that a step or a stream waits for.

    `lane` is the lane of the value where it is of another team, whose last rank counts; None where ranks wait each for
    itself.
    """

    value: int
    lane: int | None


class Step(NamedTuple):
    """Nodes that run back to back on one lane.

    The first `data` of `waits` are data edges, then come the lane and order edges. `links` are steps that it may not
    start before nor end before (a receive and its send in one template). `receive` and `send` number the message of
    another invocation that it receives or sends, among those of the copy. `is_alone` where a rank waits for no other.
    """

    nodes: tuple[int, ...]
    lane: int
    waits: tuple[Wait, ...]
    data: int
    links: tuple[int, ...]
    receive: int
    send: int
    is_alone: bool


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Steps in order over `lanes` lanes and `streams` streams.

    `outs[i]` are the values whose maximum is stream i afterwards. `places[node]` is the (step, number within it) of a
    node, `used` are the lanes that some step runs on. `sends` and `receives` count messages with other invocations.
    `serial` are the streams that the first step waits for and the last one yields, where each step waits for the one
    before: on every rank one step runs at a time.
    """

    lanes: int
    streams: int
    steps: tuple[Step, ...]
    outs: tuple[tuple[Wait, ...], ...]
    places: tuple[tuple[int, int], ...]
    used: tuple[int, ...]
    sends: int
    receives: int
    serial: frozenset[int]

    @property
    def inputs(self) -> int:
        """Values before the end of the first step."""
        return self.lanes + self.streams


def structure_of(template: Template) -> Structure:
    """The structure of a template, forward in time."""
    return _structure(_form(tuple([_node(node) for node in template.nodes]), template.outputs))


def reversed_structure_of(template: Template) -> Structure:
    """The structure of the reversed graph. Its sends take what its receives post."""
    return _structure(_reversed(_form(tuple([_node(node) for node in template.nodes]), template.outputs)))


def partner_of(node: Node) -> int | None:
    """The send of the same template that a receive matches."""
    of = node.communication
    return of.partner if of and of.pattern is Pattern.RECEIVE and of.matching is Matching.TEMPLATE else None


def messages(template: Template) -> dict[int, bool]:
    """The nodes of a template that match one of another invocation, and whether they send.

    Messages of one direction are matched in their order. A step that takes or posts one has no second node.
    """
    steps = [step for step in structure_of(template).steps if step.receive != NONE or step.send != NONE]
    return {step.nodes[0]: step.send != NONE for step in steps}


class _Node(NamedTuple):
    """What a node adds to its structure; `partner` is the send of the template that a receive matches."""

    lane: int
    inputs: tuple[int, ...]
    after: tuple[int, ...]
    pattern: Pattern | None
    partner: int | None
    is_alone: bool


class _Task(NamedTuple):
    """One node. `waits` index streams, then nodes; the first `data` are data edges."""

    node: int
    lane: int
    waits: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    receive: int
    send: int
    is_alone: bool


@dataclass(frozen=True, slots=True)
class _Form:
    """Tasks in order, and the streams and nodes whose maximum is each stream afterwards."""

    streams: int
    tasks: tuple[_Task, ...]
    outs: tuple[tuple[int, ...], ...]
    sends: int
    receives: int


def _node(node: Node) -> _Node:
    lane, communication = 2 * node.team + LANES.index(node.op.lane), node.communication
    if communication is None:
        return _Node(lane, node.inputs, node.after, None, None, is_alone=True)
    is_message = communication.pattern in (Pattern.SEND, Pattern.RECEIVE)
    pattern = communication.pattern if is_message else None
    return _Node(lane, node.inputs, node.after, pattern, partner_of(node), is_alone=communication.groups.size <= 1)


@lru_cache(maxsize=MOST_STRUCTURES)
def _form(nodes: tuple[_Node, ...], outputs: tuple[int, ...]) -> _Form:
    streams = max(len(outputs), max((-edge for node in nodes for edge in (*node.inputs, *node.after)), default=0))
    partners = {node.partner for node in nodes}
    numbers = {Pattern.SEND: 0, Pattern.RECEIVE: 0}
    tasks: list[_Task] = []
    for index, node in enumerate(nodes):
        inputs = [_value(edge, streams) for edge in node.inputs if edge != node.partner]
        after = [_value(edge, streams) for edge in node.after if edge != node.partner]
        message = NONE
        if node.pattern and node.partner is None and index not in partners:
            message = numbers[node.pattern]
            numbers[node.pattern] += 1
        tasks.append(
            _Task(
                node=index,
                lane=node.lane,
                waits=tuple(dict.fromkeys([*inputs, *after])),
                data=len(set(inputs)),
                links=() if node.partner is None else (node.partner,),
                receive=message if node.pattern is Pattern.RECEIVE else NONE,
                send=message if node.pattern is Pattern.SEND else NONE,
                is_alone=node.is_alone,
            )
        )
    outs = tuple((_value(output, streams),) for output in outputs)
    return _Form(streams, tuple(tasks), outs, numbers[Pattern.SEND], numbers[Pattern.RECEIVE])


def _value(edge: int, streams: int) -> int:
    """`INPUT - i` is stream i; nodes come after the streams."""
    return -1 - edge if edge < 0 else streams + edge


def _reversed(forward: _Form) -> _Form:
    """The same tasks with time reversed: last first, each waiting for what waited for it."""
    streams, count = forward.streams, len(forward.tasks)
    waits: list[list[int]] = [[] for _ in range(count)]
    outs: list[list[int]] = [[] for _ in range(streams)]
    links: list[list[int]] = [[] for _ in range(count)]
    ends = [(streams + task.node, wait) for task in forward.tasks for wait in task.waits]
    ends += [(stream, wait) for stream, out in enumerate(forward.outs) for wait in out]
    for later, earlier in ends:
        (outs[earlier] if earlier < streams else waits[earlier - streams]).append(later)
    for task in forward.tasks:
        for link in task.links:
            links[link].append(task.node)
    tasks = tuple(
        task._replace(
            waits=tuple(waits[task.node]), data=0, links=tuple(links[task.node]), receive=task.send, send=task.receive
        )
        for task in reversed(forward.tasks)
    )
    return _Form(streams, tasks, tuple(map(tuple, outs)), forward.sends, forward.receives)


class _Places:
    """Places are lanes, streams, then tasks in the order in which they run."""

    def __init__(self, form: _Form) -> None:
        self.form = form
        self.lanes = 2 * (1 + max((task.lane // 2 for task in form.tasks), default=0))
        self.base = self.lanes + form.streams
        self.order = {task.node: number for number, task in enumerate(form.tasks)}

    def of(self, value: int) -> int:
        """The place of a stream or node."""
        streams = self.form.streams
        return self.lanes + value if value < streams else self.base + self.order[value - streams]

    def lane(self, place: int) -> int:
        """The lane of a place; streams are on the stage's own team."""
        if place < self.lanes:
            return place
        return 0 if place < self.base else self.form.tasks[place - self.base].lane


@lru_cache(maxsize=MOST_STRUCTURES)
def _structure(form: _Form) -> Structure:
    at = _Places(form)
    waits = _reduced_waits(at)
    chains = _chains(at, [places for places, _ in waits])
    value = list(range(at.base)) + [0] * len(form.tasks)
    for number, chain in enumerate(chains):
        for task in chain:
            value[at.base + task] = at.base + number

    def seen(place: int, lane: int) -> Wait:
        other = at.lane(place)
        return Wait(value[place], None if other // 2 == lane // 2 else other)

    steps: list[Step] = []
    places = [(0, 0)] * len(form.tasks)
    for number, chain in enumerate(chains):
        first = form.tasks[chain[0]]
        kept, data = waits[chain[0]]
        links = tuple(value[at.base + at.order[link]] - at.base for link in first.links)
        nodes = tuple(form.tasks[task].node for task in chain)
        steps.append(
            Step(
                nodes=nodes,
                lane=first.lane,
                waits=tuple(seen(place, first.lane) for place in kept),
                data=data,
                links=links,
                receive=first.receive,
                send=first.send,
                is_alone=first.is_alone,
            )
        )
        for which, node in enumerate(nodes):
            places[node] = number, which
    outs = tuple(tuple(seen(at.of(one), 0) for one in out) for out in form.outs)
    return Structure(
        lanes=at.lanes,
        streams=form.streams,
        steps=tuple(steps),
        outs=outs,
        places=tuple(places),
        used=tuple(sorted({task.lane for task in form.tasks})),
        sends=form.sends,
        receives=form.receives,
        serial=_serial(steps, outs, at),
    )


def _reduced_waits(at: _Places) -> list[tuple[tuple[int, ...], int]]:
    """Of each task, the places that no other place it waits for comes after, and how many of them are data edges."""
    reached = [1 << place for place in range(at.base)]
    last = list(range(at.lanes))
    found: list[tuple[tuple[int, ...], int]] = []
    for number, task in enumerate(at.form.tasks):
        waits = [at.of(wait) for wait in task.waits]
        places = dict.fromkeys([*waits[: task.data], last[task.lane], *waits[task.data :]])
        kept = tuple(p for p in places if not any(q != p and reached[q] >> p & 1 for q in places))
        found.append((kept, sum(place in waits[: task.data] for place in kept)))
        mask = 1 << (at.base + number)
        for place in (*kept, *(at.base + at.order[link] for link in task.links)):
            mask |= reached[place]
        reached.append(mask)
        last[task.lane] = at.base + number
    return found


def _chains(at: _Places, waits: Sequence[Sequence[int]]) -> list[list[int]]:
    """Tasks, by their place in the order, that are one step."""
    tasks = at.form.tasks
    linked = {at.order[link] for task in tasks for link in task.links}
    readers = _readers(at, waits, linked)
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for number, (task, places) in enumerate(zip(tasks, waits, strict=True)):
        before = places[0] - at.base if len(places) == 1 else -1
        only_reader = before >= 0 and readers[at.base + before] == 1 and number not in linked
        if only_reader and task.is_alone and tasks[before].lane == task.lane and _is_plain(task, tasks[before]):
            chain = chain_of[before]
        else:
            chain = list[int]()
            chains.append(chain)
        chain.append(number)
        chain_of[number] = chain
    return chains


def _is_plain(*tasks: _Task) -> bool:
    """Whether tasks neither take nor post a message, nor match one in their template."""
    return all(task.receive == task.send == NONE and not task.links for task in tasks)


def _readers(at: _Places, waits: Sequence[Sequence[int]], linked: Iterable[int]) -> list[int]:
    """How many wait for each place."""
    readers = [0] * (at.base + len(at.form.tasks))
    for place in (place for places in waits for place in places):
        readers[place] += 1
    for place in (at.of(value) for out in at.form.outs for value in out):
        readers[place] += 1
    for number in linked:
        readers[at.base + number] += 1
    return readers


def _serial(steps: Sequence[Step], outs: Sequence[Sequence[Wait]], at: _Places) -> frozenset[int]:
    """The streams that make all steps one chain, on the stage's own team."""
    waits = [{wait.value for wait in step.waits} for step in steps]
    follows = all(at.base + number in step for number, step in enumerate(waits[1:]))
    if not steps or not follows or any(step.lane // 2 for step in steps):
        return frozenset()
    last = at.base + len(steps) - 1
    yielded = [stream for stream, out in enumerate(outs) if last in {wait.value for wait in out}]
    return frozenset(stream for stream in yielded if at.lanes + stream in waits[0])
