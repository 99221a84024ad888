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

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.cut import Piece, TaskForm, cut_of
from dagc.timeline.tasks import Mail, Task, Tasks


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A partition of a team's ranks. `whole`: one group holds everyone.

    `shape` is (a, size, b) where rank number i·size·b + j·b + k is member j of group (i, k), which makes the groups a
    view; else None. `members` has shape (groups, size).
    """

    members: Ranks
    whole: bool
    shape: tuple[int, int, int] | None

    def latest(self, times: Picoseconds) -> Picoseconds:
        """Each rank's time replaced by the latest of its group; shape (1,) when one group holds everyone."""
        if times.shape[0] == 1:
            return times
        if self.whole:
            return np.maximum.reduce(times, keepdims=True)
        spread = np.empty_like(times)
        if self.shape:
            spread.reshape(self.shape)[...] = np.maximum.reduce(times.reshape(self.shape), axis=1, keepdims=True)
        else:
            spread[self.members] = times[self.members].max(axis=1, keepdims=True)
        return spread

    def of(self, rank: int) -> Ranks:
        """The members of a rank's group, ascending."""
        if self.whole:
            return np.arange(self.members.size, dtype=np.int64)
        return np.sort(self.members[np.nonzero((self.members == rank).any(axis=1))[0][0]])


@dataclass(frozen=True, slots=True, eq=False)
class Step(Piece):
    """A piece with the time that it takes.

    `rows` holds the duration by copy (one row where copies are alike), `lengths` the same as numbers where ranks are
    alike. `offsets[i]` is the start of `nodes[i]` after that of the step, by copy.
    """

    group: Group | None
    rows: tuple[Picoseconds, ...]
    lengths: tuple[int, ...]
    offsets: tuple[Picoseconds, ...]

    def row(self, copy: int) -> Picoseconds:
        """Duration in a copy, by rank."""
        return self.rows[copy if len(self.rows) > 1 else 0]

    def length(self, copy: int) -> int:
        """Duration in a copy, where ranks are alike."""
        return self.lengths[copy if len(self.lengths) > 1 else 0]

    def offset(self, which: int, copy: int) -> Picoseconds:
        """Start of the step's `which`-th node after its own, in a copy, by rank."""
        table = self.offsets[which]
        return table[copy if table.shape[0] > 1 else 0]

    def node_length(self, which: int, copy: int) -> Picoseconds:
        """Duration of the step's `which`-th node in a copy, by rank."""
        last = which + 1 == len(self.offsets)
        return (self.row(copy) if last else self.offset(which + 1, copy)) - self.offset(which, copy)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps in order. Values are `lanes` lanes, `streams` streams, then the end of each step.

    `outs[i]` are the values whose maximum is stream i afterwards, `ends[l]` the value that lane l is left with, `used`
    the lanes that some task runs on. `places[node]` is the (step, number within it) of a node. `reads` are the streams
    that some step waits for, `meets` and `posts` the steps that take a message and that leave one (mirrored, the sends
    take), `sends` how many of its messages are sends. `awaits_inputs` when every step waits, directly or through
    others, for one of these or for a message: then none starts before the first of them. `passes_nothing` when no
    stream is passed on as it came.
    """

    lanes: int
    streams: int
    steps: tuple[Step, ...]
    outs: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]
    used: tuple[int, ...]
    mails: tuple[Mail, ...]
    sends: int
    mirrored: bool
    places: tuple[tuple[int, int], ...]
    uniform: bool
    copies_alike: bool
    reads: tuple[int, ...]
    meets: tuple[int, ...]
    posts: tuple[int, ...]
    awaits_inputs: bool
    passes_nothing: bool

    @property
    def inputs(self) -> int:
        """Number of values before the first step."""
        return self.lanes + self.streams

    def team(self, value: int) -> int:
        """The program-local team of a value; streams live on the stage's own."""
        if value < self.lanes:
            return value // 2
        return 0 if value < self.inputs else self.steps[value - self.inputs].lane // 2


def all_steps(templates: Sequence[Tasks]) -> list[Steps]:
    """The steps of several templates."""
    groups: dict[int, Group] = {}
    return [_template_steps(tasks, groups) for tasks in templates]


def _template_steps(tasks: Tasks, groups: dict[int, Group]) -> Steps:
    """The steps of a template's tasks. `groups` holds those that were looked at, by who their members are."""
    form = tuple(TaskForm(t.node, t.lane, t.deps, t.data, t.links, t.mail, t.members is None) for t in tasks.tasks)
    cut = cut_of(tasks.streams, tasks.outs, tasks.teams, form, tasks.mirrored)
    steps = tuple(_step(tasks.tasks, piece, groups) for piece in cut.pieces)
    return Steps(
        lanes=cut.lanes,
        streams=tasks.streams,
        steps=steps,
        outs=cut.outs,
        ends=cut.ends,
        used=tasks.lanes,
        mails=tasks.mails,
        sends=sum(mail.sends for mail in tasks.mails),
        mirrored=tasks.mirrored,
        places=cut.places,
        reads=cut.reads,
        meets=cut.meets,
        posts=cut.posts,
        awaits_inputs=cut.awaits_inputs,
        passes_nothing=cut.passes_nothing,
        uniform=all(row.shape[0] == 1 for step in steps for row in step.rows[:1]),
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
        group=None if members is None else _group(members, groups),
        rows=tuple(total),
        lengths=tuple(total[:, 0].tolist()),
        offsets=offsets,
    )


_NO_TIME: Picoseconds = np.zeros((1, 1), dtype=np.int64)


def _offsets(durations: Sequence[Picoseconds]) -> tuple[tuple[Picoseconds, ...], Picoseconds]:
    """The sum of the durations before each of them, and of all, as (copies or 1, width or 1)."""
    total: Picoseconds = _NO_TIME
    offsets: list[Picoseconds] = []
    for duration in durations:
        offsets.append(total)
        total = total + _table(duration)
    return tuple(offsets), total


def _table(duration: Picoseconds) -> Picoseconds:
    """A duration as (copies or 1, width or 1), one column where ranks are alike."""
    table = duration if duration.ndim > 1 else duration.reshape(1, -1)
    return table[:, :1] if table.shape[1] > 1 and bool((table == table[:, :1]).all()) else table


def _group(members: Ranks, known: dict[int, Group]) -> Group:
    group = known.get(id(members))
    if group is None:
        group = known[id(members)] = Group(members, members.shape[0] == 1, _regular(members))
    return group


def _regular(members: Ranks) -> tuple[int, int, int] | None:
    """The shape under which the groups are a view of the ranks, if there is one."""
    count, size = members.shape
    width = count * size
    stride = int(members[0, 1] - members[0, 0])
    if stride < 1 or width % (size * stride):
        return None
    shape = (width // (size * stride), size, stride)
    ranks: Ranks = np.arange(width, dtype=np.int64)
    view = ranks.reshape(shape).transpose(0, 2, 1).reshape(-1, size)
    order = np.argsort(members[:, 0], kind="stable")
    return shape if np.array_equal(members[order], view) else None
