"""The form of a template: all that the executor needs of its nodes, save how long they take and who their groups are.

Turns nodes with edges, lanes and pairings into a flat list of `TaskForm`s over one list of values: the streams first,
then the end of every node. The mirror of a form is the same graph with time reversed: its earliest times are the latest
times of the original, which is how slack is found with the same executor.

Most templates have one of a few dozen forms, so those are kept, by what they are made of.

Assumes that nodes stand in topological order and that streams live on the stage's own team (program-local team 0):
what another team yields is passed on when its last rank is done. Edges to the partner of a receive are part of the
pairing and not waited for a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dagc.graph.graph import Node, Template
from dagc.ops.communication import Pairing, Pattern
from dagc.ops.op import Lane

LANES = (Lane.COMPUTE, Lane.COMMUNICATION)
"""Lanes of a rank; lane number `2 · team + index`."""

MOST_FORMS = 512
"""Forms that are kept, and what follows from each."""

_PLAIN, _SEND, _RECEIVE = range(3)
"""What a node does with messages of other nodes; a receive of a send in its own template is plain, with a partner."""


class Mail(NamedTuple):
    """A message between invocations. `sends` says which end of it the node is, `ordinal` counts in the template.

    The other end follows from the stage: a send goes to the next stage, that of the last stage to the first stage in
    the next step; a receive comes from where that send stands.
    """

    sends: bool
    ordinal: int


class TaskForm(NamedTuple):
    """One node for the executor.

    `deps` index the values it waits for: those of its own team rank by rank, those of another until the last rank.
    The first `data` of them are data edges, the others order edges. `links` are nodes that it may not start before nor
    end before (a receive and its send). `is_alone` where a rank waits for no other.
    """

    node: int
    lane: int
    deps: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    mail: Mail | None
    is_alone: bool


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Tasks in order. `outs[i]` are the values whose maximum is stream i afterwards; empty where nothing reads it.

    `teams` are those of the values, `lanes` the lanes that some task runs on.
    """

    streams: int
    tasks: tuple[TaskForm, ...]
    outs: tuple[tuple[int, ...], ...]
    teams: tuple[int, ...]
    lanes: tuple[int, ...]
    mails: tuple[Mail, ...]
    mirrored: bool = False


class _NodeForm(NamedTuple):
    """What a node adds to the form of its template; `partner` is the send of the template that a receive meets."""

    team: int
    lane: int
    inputs: tuple[int, ...]
    after: tuple[int, ...]
    message: int
    partner: int | None
    is_alone: bool


def lane_number(team: int, lane: Lane) -> int:
    """The number of a team's lane."""
    return 2 * team + (lane is not LANES[0])


def phase_lane(teams: Sequence[int], lane: int) -> int:
    """The number, among the lanes of the phase, of a lane of a program that runs on these teams."""
    return 2 * teams[lane // 2] + lane % 2


def form_of(template: Template) -> Form:
    """The form of a template in program order, forward in time."""
    return _form(tuple([_node_form(node) for node in template.nodes]), template.outputs)


@lru_cache(maxsize=MOST_FORMS)
def mirror(forward: Form) -> Form:
    """The same tasks with time reversed: last first, each waiting for what waited for it."""
    streams, count = forward.streams, len(forward.tasks)
    deps: list[list[int]] = [[] for _ in range(count)]
    outs: list[list[int]] = [[] for _ in range(streams)]
    links: list[list[int]] = [[] for _ in range(count)]
    ends = [(streams + task.node, dep) for task in forward.tasks for dep in task.deps]
    ends += [(stream, dep) for stream, out in enumerate(forward.outs) for dep in out]
    for later, earlier in ends:
        (outs[earlier] if earlier < streams else deps[earlier - streams]).append(later)
    for task in forward.tasks:
        for link in task.links:
            links[link].append(task.node)
    tasks = tuple(_relinked(forward, i, tuple(deps[i]), tuple(links[i])) for i in reversed(range(count)))
    mails = tuple(task.mail for task in tasks if task.mail)
    return Form(streams, tasks, tuple(map(tuple, outs)), forward.teams, forward.lanes, mails, mirrored=True)


def _node_form(node: Node) -> _NodeForm:
    lane, talk = lane_number(node.team, node.op.lane), node.communication
    if talk is None:
        return _NodeForm(node.team, lane, node.inputs, node.after, _PLAIN, None, is_alone=True)
    message, partner = _PLAIN, None
    if talk.pattern is Pattern.SEND:
        message = _SEND
    elif talk.pattern is Pattern.RECEIVE:
        message = _RECEIVE
        partner = talk.partner if talk.pairing is Pairing.TEMPLATE else None
    return _NodeForm(node.team, lane, node.inputs, node.after, message, partner, talk.groups.size <= 1)


@lru_cache(maxsize=MOST_FORMS)
def _form(nodes: tuple[_NodeForm, ...], outputs: tuple[int, ...]) -> Form:
    read = (-edge for node in nodes for edge in (*node.inputs, *node.after))
    streams = max(len(outputs), max(read, default=0))
    mails = _mails(nodes)
    tasks = tuple(_task(index, node, streams, mails.get(index)) for index, node in enumerate(nodes))
    return Form(
        streams=streams,
        tasks=tasks,
        outs=tuple((_value(output, streams),) for output in outputs),
        teams=(*(0 for _ in range(streams)), *(node.team for node in nodes)),
        lanes=tuple(sorted({task.lane for task in tasks})),
        mails=tuple(mails.values()),
    )


def _task(index: int, node: _NodeForm, streams: int, mail: Mail | None) -> TaskForm:
    inputs = [edge for edge in node.inputs if edge != node.partner]
    after = [edge for edge in node.after if edge != node.partner]
    return TaskForm(
        node=index,
        lane=node.lane,
        deps=tuple(_value(edge, streams) for edge in dict.fromkeys([*inputs, *after])),
        data=len(set(inputs)),
        links=() if node.partner is None else (node.partner,),
        mail=mail,
        is_alone=node.is_alone,
    )


def _relinked(forward: Form, index: int, deps: tuple[int, ...], links: tuple[int, ...]) -> TaskForm:
    """A task of the mirror; its messages are counted from the last."""
    task = forward.tasks[index]
    mail = task.mail
    if mail:
        alike = sum(other.sends is mail.sends for other in forward.mails)
        mail = Mail(mail.sends, alike - 1 - mail.ordinal)
    return task._replace(deps=deps, data=0, links=links, mail=mail)


def _value(index: int, streams: int) -> int:
    """Place among the values: `INPUT - i` is stream i, node i comes after the streams."""
    return -1 - index if index < 0 else streams + index


def _mails(nodes: tuple[_NodeForm, ...]) -> dict[int, Mail]:
    """The nodes that meet a node of another invocation, each with its number among those of its direction."""
    met = {node.partner for node in nodes}
    counts = {True: 0, False: 0}
    found: dict[int, Mail] = {}
    for index, node in enumerate(nodes):
        if node.message == _PLAIN or index in met or node.partner is not None:
            continue
        sends = node.message == _SEND
        found[index] = Mail(sends, counts[sends])
        counts[sends] += 1
    return found
