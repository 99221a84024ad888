"""Tasks as steps: the least that must be worked out to know when everything runs.

Turns the tasks of a template into fewer steps over one list of values (lanes, streams, then the end of each step), as
`cut.py` cuts them. The duration of a step is the sum of those of its tasks, the start of each is the step's start and
an offset.

Durations keep a row for each copy where copies differ, and a column for each rank only where ranks differ. It knows
no times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.graph.priced import Picoseconds, are_alike
from dagc.plan.layout import Ranks
from dagc.timeline.cut import Piece, cut_of
from dagc.timeline.form import Mail
from dagc.timeline.tasks import Task, Tasks
from dagc.timeline.times import Time

_Table = Time
"""A duration: a time where copies are alike, else shape (copies, width or 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A partition of a team's ranks; `members` has shape (groups, size). `whole`: one group holds everyone.

    `order` has the ranks group by group, None where that is their own order; `begins` is where each group begins in it,
    `label` the group of each rank.
    """

    members: Ranks
    whole: bool
    order: Ranks | None
    begins: Ranks
    label: Ranks

    def latest(self, times: Picoseconds) -> Time:
        """Each rank's time replaced by the latest of its group; a number when one group holds everyone."""
        if self.whole:
            return int(np.maximum.reduce(times))
        by_group = times if self.order is None else times[self.order]
        return np.maximum.reduceat(by_group, self.begins)[self.label]

    def beside(self, rank: int) -> Ranks:
        """The ranks of the group that a rank is in."""
        return self.members[self.label[rank]]


@dataclass(slots=True, eq=False)
class Step(Piece):
    """A piece with the time that it takes.

    `rows` holds the duration by copy (one where copies are alike), each a number where ranks are alike in all copies.
    `offsets[i]` is the start of `nodes[i]` after that of the step: a time, or a table (copies, width or 1).
    """

    group: Group | None
    rows: tuple[Time, ...]
    offsets: tuple[_Table, ...]

    def row(self, copy: int) -> Time:
        """Duration in a copy."""
        return self.rows[copy if len(self.rows) > 1 else 0]

    def offset(self, which: int, copy: int) -> Time:
        """Start of the step's `which`-th node after its own, in a copy."""
        table = self.offsets[which]
        if isinstance(table, int) or table.ndim == 1:
            return table
        return table[copy] if table.shape[1] > 1 else int(table[copy, 0])

    def node_length(self, which: int, copy: int) -> Time:
        """Duration of the step's `which`-th node in a copy."""
        last = which + 1 == len(self.offsets)
        return (self.row(copy) if last else self.offset(which + 1, copy)) - self.offset(which, copy)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps in order. Values are `lanes` lanes, `streams` streams, then the end of each step.

    `outs[i]` are the values whose maximum is stream i afterwards, `ends[l]` the value that lane l is left with, `used`
    the lanes that some task runs on. `places[node]` is the (step, number within it) of a node. `reads` are the streams
    that some step waits for, `meets` and `posts` the steps that take a message and that leave one (mirrored, the sends
    take), `sends` how many of its messages are sends, `sent` the steps that send, with what. `groups` are those of all
    steps, `has_links` whether a step meets another. `behind[i]` are the steps before step i, nearest first, of which
    each is the one thing that the next waits for. `awaits_inputs` when every step waits, directly or through others,
    for one of these or for a message: then none starts before the first of them. `passes_nothing` when no stream is
    passed on as it came. `chained` are the streams that the first step waits for and the last one yields, where each
    step waits for the one before: on every rank one step runs at a time, in all copies. `own` are the values that
    streams have afterwards, where each is one value of the stage's own team.
    """

    lanes: int
    streams: int
    steps: tuple[Step, ...]
    outs: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]
    used: tuple[int, ...]
    mails: tuple[Mail, ...]
    sends: int
    sent: tuple[tuple[int, Mail], ...]
    mirrored: bool
    places: tuple[tuple[int, int], ...]
    uniform: bool
    copies_alike: bool
    reads: tuple[int, ...]
    meets: tuple[int, ...]
    posts: tuple[int, ...]
    groups: frozenset[Group]
    has_links: bool
    behind: tuple[tuple[int, ...], ...]
    awaits_inputs: bool
    passes_nothing: bool
    chained: frozenset[int]
    own: tuple[int, ...] | None

    @property
    def inputs(self) -> int:
        """Number of values before the first step."""
        return self.lanes + self.streams

    def team(self, value: int) -> int:
        """The program-local team of a value; streams live on the stage's own."""
        if value < self.lanes:
            return value // 2
        return 0 if value < self.inputs else self.steps[value - self.inputs].lane // 2


def all_steps(templates: Sequence[Tasks], groups: dict[int, Group]) -> list[Steps]:
    """The steps of several templates. `groups` holds those that were looked at, by who their members are."""
    return [_template_steps(tasks, groups) for tasks in templates]


def _template_steps(tasks: Tasks, groups: dict[int, Group]) -> Steps:
    """The steps of a template's tasks."""
    form = tasks.form
    cut = cut_of(form)
    steps = tuple(_step(tasks.tasks, piece, groups) for piece in cut.pieces)
    return Steps(
        lanes=cut.lanes,
        streams=form.streams,
        steps=steps,
        outs=cut.outs,
        ends=cut.ends,
        used=form.lanes,
        mails=form.mails,
        sends=sum(mail.sends for mail in form.mails),
        sent=tuple([(number, step.mail) for number, step in enumerate(steps) if step.mail and step.mail.sends]),
        mirrored=form.mirrored,
        places=cut.places,
        reads=cut.reads,
        meets=cut.meets,
        posts=cut.posts,
        groups=frozenset(step.group for step in steps if step.group),
        has_links=any(step.links for step in steps),
        behind=cut.behind,
        awaits_inputs=cut.awaits_inputs,
        passes_nothing=cut.passes_nothing,
        chained=cut.chained,
        own=cut.own,
        uniform=all(isinstance(step.rows[0], int) for step in steps),
        copies_alike=all(len(step.rows) == 1 for step in steps),
    )


def _step(tasks: Sequence[Task], piece: Piece, groups: dict[int, Group]) -> Step:
    members = tasks[piece.tasks[0]].members
    offsets, total = _offsets([tasks[i].duration for i in piece.tasks])
    return Step(
        tasks=piece.tasks,
        nodes=piece.nodes,
        lane=piece.lane,
        same=piece.same,
        cross=piece.cross,
        order=piece.order,
        data=piece.data,
        links=piece.links,
        mail=piece.mail,
        waits_once=piece.waits_once,
        group=None if members is None else _group(members, groups),
        rows=_rows(total),
        offsets=offsets,
    )


def _offsets(durations: Sequence[Picoseconds]) -> tuple[tuple[_Table, ...], _Table]:
    """The sum of the durations before each of them, and of all."""
    total = _table(durations[0])
    offsets: list[_Table] = [0]
    for duration in durations[1:]:
        offsets.append(total)
        total = total + _table(duration)
    return tuple(offsets), total


def _table(duration: Picoseconds) -> _Table:
    """A duration with one column where ranks are alike, and a number where copies are as well."""
    if duration.size == 1:
        return int(duration.item())
    table = duration[..., :1] if are_alike(duration, duration[..., :1]) else duration
    if table.size == 1:
        return int(table.item())
    return table[0] if table.ndim > 1 and table.shape[0] == 1 else table


def _rows(table: _Table) -> tuple[Time, ...]:
    if isinstance(table, int) or table.ndim == 1:
        return (table,)
    return tuple(table) if table.shape[1] > 1 else tuple(table[:, 0].tolist())


def _group(members: Ranks, known: dict[int, Group]) -> Group:
    group = known.get(id(members))
    if group is None:
        count, size = members.shape
        order, begins = members.ravel(), np.arange(0, count * size, size, dtype=np.int64)
        label = np.empty(count * size, dtype=np.int64)
        label[order] = np.repeat(np.arange(count, dtype=np.int64), size)
        is_ascending = bool((order[1:] > order[:-1]).all())
        group = Group(members, count == 1, None if is_ascending else order, begins, label)
        known[id(members)] = group
    return group
