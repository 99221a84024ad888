"""Tasks as steps: the least that must be worked out to know when everything runs.

Turns the tasks of a template into fewer steps over one list of values (lanes, streams, then the end of each step).
Two reductions, both exact because no duration is negative. A task does not wait for what something else that it waits
for has waited for. Tasks of one lane of which each waits for the one before alone, and nothing else waits for that one,
are a single step whose duration is their sum; the start of each is the step's start and an offset.

Durations keep a row for each copy where copies differ, and a column for each rank only where ranks differ. It knows
no times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
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
class Step:
    """Tasks that run back to back on one lane.

    `same` and `cross` are the values waited for, of its own team and of another; `order` holds all of them, the first
    `data` being data edges, then the lane, then order edges. `links` are steps met. `rows` holds the duration by copy
    (one row where copies are alike), `lengths` the same as numbers where ranks are alike. `offsets[i]` is the start of
    `nodes[i]` after that of the step, by copy.
    """

    nodes: tuple[int, ...]
    lane: int
    same: tuple[int, ...]
    cross: tuple[int, ...]
    order: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    mail: Mail | None
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


def _awaits_inputs(steps: Sequence[Step], lanes: int, inputs: int, mirrored: bool) -> bool:
    awaiting = set(range(lanes, inputs))
    for number, step in enumerate(steps):
        meets = step.mail is not None and step.mail.sends is mirrored
        if not meets and awaiting.isdisjoint({*step.order, *(inputs + link for link in step.links)}):
            return False
        awaiting.add(inputs + number)
    return True


def all_steps(templates: Sequence[Tasks]) -> list[Steps]:
    """The steps of several templates; those that differ in durations alone are cut into steps once."""
    cuts: dict[object, _Cut] = {}
    return [template_steps(tasks, cuts) for tasks in templates]


def template_steps(tasks: Tasks, cuts: dict[object, _Cut] | None = None) -> Steps:
    """The steps of a template's tasks. `cuts` holds how templates of the same form were cut."""
    lanes = 2 * (1 + max((task.lane // 2 for task in tasks.tasks), default=0))
    waits, chains = _cut(tasks, lanes, {} if cuts is None else cuts)
    base = lanes + tasks.streams
    value = list(range(base)) + [0] * len(tasks.tasks)
    index_of = {task.node: i for i, task in enumerate(tasks.tasks)}
    for number, chain in enumerate(chains):
        for i in chain:
            value[base + i] = base + number
    groups: dict[int, Group] = {}
    steps = tuple(_step(tasks, chain, waits, value, lanes, index_of, groups) for chain in chains)
    ends = list(range(lanes))
    for number, step in enumerate(steps):
        ends[step.lane] = base + number
    places = [(0, 0)] * len(tasks.tasks)
    for number, step in enumerate(steps):
        for which, node in enumerate(step.nodes):
            places[node] = number, which
    outs = tuple(tuple(value[_place(v, tasks, lanes, index_of)] for v in out) for out in tasks.outs)
    return Steps(
        lanes=lanes,
        streams=tasks.streams,
        steps=steps,
        outs=outs,
        ends=tuple(ends),
        used=tasks.lanes,
        mails=tasks.mails,
        sends=sum(mail.sends for mail in tasks.mails),
        mirrored=tasks.mirrored,
        places=tuple(places),
        reads=tuple(sorted({v - lanes for step in steps for v in step.order if lanes <= v < base})),
        meets=tuple(i for i, step in enumerate(steps) if step.mail and step.mail.sends is tasks.mirrored),
        posts=tuple(i for i, step in enumerate(steps) if step.mail and step.mail.sends is not tasks.mirrored),
        awaits_inputs=_awaits_inputs(steps, lanes, base, tasks.mirrored),
        passes_nothing=all(v >= base for out in outs for v in out),
        uniform=all(row.shape[0] == 1 for step in steps for row in step.rows[:1]),
        copies_alike=all(len(step.rows) == 1 for step in steps),
    )


@dataclass(frozen=True, slots=True)
class _Wait:
    """What a task has to wait for, as places; the first `data` are data edges."""

    places: tuple[int, ...]
    data: int


_Cut = tuple[list[_Wait], list[list[int]]]
"""What each task has to wait for, and the tasks of each step."""


def _cut(tasks: Tasks, lanes: int, cuts: dict[object, _Cut]) -> _Cut:
    form = (
        tasks.streams,
        tasks.outs,
        *(
            (task.node, task.lane, task.deps, task.data, task.links, task.mail, task.members is None)
            for task in tasks.tasks
        ),
    )
    found = cuts.get(form)
    if found is None:
        waits = _waits(tasks, lanes)
        found = cuts[form] = waits, _chains(tasks, waits, lanes)
    return found


def _place(value: int, tasks: Tasks, lanes: int, index_of: dict[int, int]) -> int:
    """A task's value as a place: lanes, streams, then tasks in the order in which they run."""
    return lanes + value if value < tasks.streams else lanes + tasks.streams + index_of[value - tasks.streams]


def _waits(tasks: Tasks, lanes: int) -> list[_Wait]:
    """Of each task, the places that no other place it waits for comes after."""
    base = lanes + tasks.streams
    reached = [1 << place for place in range(base)]
    index_of = {task.node: i for i, task in enumerate(tasks.tasks)}
    last = list(range(lanes))
    waits: list[_Wait] = []
    for i, task in enumerate(tasks.tasks):
        deps = [_place(dep, tasks, lanes, index_of) for dep in task.deps]
        places = dict.fromkeys([*deps[: task.data], last[task.lane], *deps[task.data :]])
        kept = tuple(p for p in places if not any(q != p and reached[q] >> p & 1 for q in places))
        waits.append(_Wait(kept, sum(p in deps[: task.data] for p in kept)))
        mask = 1 << (base + i)
        for place in (*kept, *(base + index_of[link] for link in task.links)):
            mask |= reached[place]
        reached.append(mask)
        last[task.lane] = base + i
    return waits


def _chains(tasks: Tasks, waits: list[_Wait], lanes: int) -> list[list[int]]:
    """Tasks, by their place in the order, that are one step."""
    base = lanes + tasks.streams
    index_of = {task.node: i for i, task in enumerate(tasks.tasks)}
    readers = [0] * (base + len(tasks.tasks))
    for place in (p for wait in waits for p in wait.places):
        readers[place] += 1
    for place in (_place(v, tasks, lanes, index_of) for out in tasks.outs for v in out):
        readers[place] += 1
    met = {index_of[link] for task in tasks.tasks for link in task.links}
    for i in met:
        readers[base + i] += 1
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for i, (task, wait) in enumerate(zip(tasks.tasks, waits, strict=True)):
        before = wait.places[0] - base if len(wait.places) == 1 else -1
        follows = before >= 0 and readers[base + before] == 1 and i not in met
        if follows and _continues(tasks.tasks[before], task):
            chain = chain_of[before]
        else:
            chain: list[int] = []
            chains.append(chain)
        chain.append(i)
        chain_of[i] = chain
    return chains


def _continues(before: Task, task: Task) -> bool:
    alone = task.members is None and task.mail is None and not task.links
    return alone and before.lane == task.lane and before.mail is None and not before.links


def _step(
    tasks: Tasks,
    chain: list[int],
    waits: list[_Wait],
    value: list[int],
    lanes: int,
    index_of: dict[int, int],
    groups: dict[int, Group],
) -> Step:
    first, wait = tasks.tasks[chain[0]], waits[chain[0]]
    base = lanes + tasks.streams
    team = first.lane // 2
    teams = [place // 2 if place < lanes else tasks.teams[_value(place, tasks, lanes)] for place in wait.places]
    offsets, total = _offsets([tasks.tasks[i].duration for i in chain])
    return Step(
        nodes=tuple(tasks.tasks[i].node for i in chain),
        lane=first.lane,
        same=tuple(value[p] for p, of in zip(wait.places, teams, strict=True) if of == team),
        cross=tuple(value[p] for p, of in zip(wait.places, teams, strict=True) if of != team),
        order=tuple(value[p] for p in wait.places),
        data=wait.data,
        links=tuple(value[base + index_of[link]] - base for link in first.links),
        mail=first.mail,
        group=None if first.members is None else _group(first.members, groups),
        rows=tuple(total),
        lengths=tuple(total[:, 0].tolist()),
        offsets=offsets,
    )


def _value(place: int, tasks: Tasks, lanes: int) -> int:
    """The value of a place that is no lane."""
    base = lanes + tasks.streams
    return place - lanes if place < base else tasks.tasks[place - base].value


def _offsets(durations: Sequence[Picoseconds]) -> tuple[tuple[Picoseconds, ...], Picoseconds]:
    """The sum of the durations before each of them, and of all, as (copies or 1, width or 1)."""
    total = np.zeros((1, 1), dtype=np.int64)
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
