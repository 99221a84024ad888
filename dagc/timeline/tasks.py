"""A priced template as tasks: what the executor needs of each node, resolved once.

Turns nodes with edges, lanes, groups and pairings into a flat list of `Task`s over one list of values: the streams
first, then the end of every node. The mirror of a list of tasks is the same graph with time reversed: its earliest
times are the latest times of the original, which is how slack is found with the same executor.

Assumes that nodes stand in topological order and that streams live on the stage's own team (program-local team 0):
what another team yields is passed on when its last rank is done. Edges to the partner of a receive are part of the
pairing and not waited for a second time. It knows no times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dagc.graph.graph import Node, Pairing, Pattern, Template
from dagc.graph.ops import Lane
from dagc.graph.priced import NodeCost, Picoseconds
from dagc.plan.layout import Ranks

LANES = (Lane.COMPUTE, Lane.COMMUNICATION)
"""Lanes of a rank; lane number `2 · team + index`."""


class Mail(NamedTuple):
    """A message between invocations. `sends` says which end of it the node is, `ordinal` counts in the template.

    The other end follows from the stage: a send goes to the next stage, that of the last stage to the first stage in
    the next step; a receive comes from where that send stands.
    """

    sends: bool
    ordinal: int


class Task(NamedTuple):
    """One node for the executor.

    `deps` index the values it waits for: those of its own team rank by rank, those of another until the last rank.
    The first `data` of them are data edges, the others order edges. `links` are nodes that it may not start before nor
    end before (a receive and its send). `duration` has a row for each copy where copies differ. `members` has shape
    (groups, size) and is None where a rank waits for no other.
    """

    node: int
    lane: int
    deps: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    mail: Mail | None
    duration: Picoseconds
    members: Ranks | None


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """Tasks in order. `outs[i]` are the values whose maximum is stream i afterwards; empty where nothing reads it."""

    streams: int
    tasks: tuple[Task, ...]
    outs: tuple[tuple[int, ...], ...]
    teams: tuple[int, ...]
    lanes: tuple[int, ...]
    mails: tuple[Mail, ...]
    mirrored: bool = False


def lane_number(team: int, lane: Lane) -> int:
    """The number of a team's lane."""
    return 2 * team + (lane is not LANES[0])


def template_tasks(template: Template, costs: Sequence[NodeCost]) -> Tasks:
    """The tasks of a template in program order, forward in time."""
    streams = _streams(template)
    partners = [_partner(node) for node in template.nodes]
    mails = _mails(template, partners)
    teams = (*(0 for _ in range(streams)), *(node.team for node in template.nodes))
    tasks = tuple(
        [
            _task(index, node, cost, streams, partner, mails.get(index))
            for index, (node, cost, partner) in enumerate(zip(template.nodes, costs, partners, strict=True))
        ]
    )
    outs = tuple((_value(output, streams),) for output in template.outputs)
    used = sorted({task.lane for task in tasks})
    return Tasks(streams, tasks, outs, teams, tuple(used), tuple(mails[i] for i in sorted(mails)))


def mirror(forward: Tasks) -> Tasks:
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
    return Tasks(streams, tasks, tuple(map(tuple, outs)), forward.teams, forward.lanes, mails, mirrored=True)


def _task(index: int, node: Node, cost: NodeCost, streams: int, partner: int | None, mail: Mail | None) -> Task:
    inputs, after = dict.fromkeys(node.inputs), dict.fromkeys((*node.inputs, *node.after))
    if partner is not None:
        inputs.pop(partner, None)
        after.pop(partner, None)
    return Task(
        node=index,
        lane=lane_number(node.team, node.op.lane),
        deps=tuple([_value(edge, streams) for edge in after]),
        data=len(inputs),
        links=() if partner is None else (partner,),
        mail=mail,
        duration=cost.duration,
        members=_members(node),
    )


def _relinked(forward: Tasks, index: int, deps: tuple[int, ...], links: tuple[int, ...]) -> Task:
    """A task of the mirror; its messages are counted from the last."""
    task = forward.tasks[index]
    mail = task.mail
    if mail:
        alike = sum(other.sends is mail.sends for other in forward.mails)
        mail = Mail(mail.sends, alike - 1 - mail.ordinal)
    return task._replace(deps=deps, data=0, links=links, mail=mail)


def _streams(template: Template) -> int:
    lowest = min([0, *[min((*node.inputs, *node.after), default=0) for node in template.nodes]])
    return max(len(template.outputs), -lowest)


def _value(index: int, streams: int) -> int:
    """Place among the values: `INPUT - i` is stream i, node i comes after the streams."""
    return -1 - index if index < 0 else streams + index


def _partner(node: Node) -> int | None:
    """The send of the same template that a receive meets."""
    talk = node.communication
    return talk.partner if talk and talk.pattern is Pattern.RECEIVE and talk.pairing is Pairing.TEMPLATE else None


def _mails(template: Template, partners: Sequence[int | None]) -> dict[int, Mail]:
    """The nodes that meet a node of another invocation, each with its number among those of its direction."""
    met = {*partners}
    counts = {True: 0, False: 0}
    found: dict[int, Mail] = {}
    for index, (node, partner) in enumerate(zip(template.nodes, partners, strict=True)):
        pattern = node.communication.pattern if node.communication else None
        if pattern not in (Pattern.SEND, Pattern.RECEIVE) or index in met or partner is not None:
            continue
        sends = pattern is Pattern.SEND
        found[index] = Mail(sends, counts[sends])
        counts[sends] += 1
    return found


def _members(node: Node) -> Ranks | None:
    talk = node.communication
    if talk is None or talk.groups.size <= 1:
        return None
    return talk.groups.members
