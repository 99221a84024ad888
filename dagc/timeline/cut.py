"""Where tasks are cut into steps: all of it that no duration decides.

Turns the form of a template's tasks into pieces over one list of values (lanes, streams, then the end of each piece).
Two reductions, both exact because no duration is negative. A task does not wait for what something else that it waits
for has waited for. Tasks of one lane of which each waits for the one before alone, and nothing else waits for that one,
are a single piece.

Templates of the same form are cut alike, whatever they cost and whichever plan they are of, so what was cut is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dagc.timeline.tasks import Mail


class TaskForm(NamedTuple):
    """A task without its duration and without who its group is; the fields are those of `Task`."""

    node: int
    lane: int
    deps: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    mail: Mail | None
    is_alone: bool


@dataclass(slots=True, eq=False)
class Piece:
    """Tasks that run back to back on one lane: their places in the order, and their nodes.

    `same` and `cross` are the values waited for, of its own team and of another; `order` holds all of them, the first
    `data` being data edges, then the lane, then order edges. `links` are pieces met.
    """

    tasks: tuple[int, ...]
    nodes: tuple[int, ...]
    lane: int
    same: tuple[int, ...]
    cross: tuple[int, ...]
    order: tuple[int, ...]
    data: int
    links: tuple[int, ...]
    mail: Mail | None
    waits_once: bool


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The pieces of a template in order; the rest as in `Steps`."""

    lanes: int
    pieces: tuple[Piece, ...]
    outs: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    reads: tuple[int, ...]
    meets: tuple[int, ...]
    posts: tuple[int, ...]
    awaits_inputs: bool
    passes_nothing: bool


@dataclass(frozen=True, slots=True)
class _Wait:
    """What a task has to wait for, as places; the first `data` are data edges."""

    places: tuple[int, ...]
    data: int


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """All tasks of a template. Places are lanes, streams, then tasks in the order in which they run."""

    streams: int
    outs: tuple[tuple[int, ...], ...]
    teams: tuple[int, ...]
    tasks: tuple[TaskForm, ...]
    lanes: int
    index_of: dict[int, int]

    @property
    def base(self) -> int:
        """Places before the first task."""
        return self.lanes + self.streams

    def place(self, value: int) -> int:
        """The place of a task's value."""
        if value < self.streams:
            return self.lanes + value
        return self.base + self.index_of[value - self.streams]

    def team(self, place: int) -> int:
        """The program-local team of a place."""
        if place < self.lanes:
            return place // 2
        if place < self.base:
            return self.teams[place - self.lanes]
        return self.teams[self.streams + self.tasks[place - self.base].node]


@lru_cache(maxsize=512)
def cut_of(
    streams: int,
    outs: tuple[tuple[int, ...], ...],
    teams: tuple[int, ...],
    tasks: tuple[TaskForm, ...],
    mirrored: bool,
) -> Cut:
    """How a template of this form is cut; the arguments are fields of `Tasks`."""
    lanes = 2 * (1 + max((task.lane // 2 for task in tasks), default=0))
    form = _Form(streams, outs, teams, tasks, lanes, {task.node: i for i, task in enumerate(tasks)})
    waits = _waits(form)
    chains = _chains(form, waits)
    value = list(range(form.base)) + [0] * len(tasks)
    for number, chain in enumerate(chains):
        for i in chain:
            value[form.base + i] = form.base + number
    pieces = tuple(_piece(form, chain, waits[chain[0]], value) for chain in chains)
    left = tuple(tuple(value[form.place(v)] for v in out) for out in outs)
    return Cut(
        lanes=lanes,
        pieces=pieces,
        outs=left,
        ends=_ends(pieces, form),
        places=_places(pieces, len(tasks)),
        reads=tuple(sorted({v - lanes for piece in pieces for v in piece.order if lanes <= v < form.base})),
        meets=tuple(i for i, piece in enumerate(pieces) if piece.mail and piece.mail.sends is mirrored),
        posts=tuple(i for i, piece in enumerate(pieces) if piece.mail and piece.mail.sends is not mirrored),
        awaits_inputs=_awaits_inputs(pieces, form, mirrored),
        passes_nothing=all(v >= form.base for out in left for v in out),
    )


def _waits(form: _Form) -> list[_Wait]:
    """Of each task, the places that no other place it waits for comes after."""
    base = form.base
    reached = [1 << place for place in range(base)]
    last = list(range(form.lanes))
    waits: list[_Wait] = []
    for i, task in enumerate(form.tasks):
        deps = [form.place(dep) for dep in task.deps]
        places = dict.fromkeys([*deps[: task.data], last[task.lane], *deps[task.data :]])
        kept = tuple(p for p in places if not any(q != p and reached[q] >> p & 1 for q in places))
        waits.append(_Wait(kept, sum(p in deps[: task.data] for p in kept)))
        mask = 1 << (base + i)
        for place in (*kept, *(base + form.index_of[link] for link in task.links)):
            mask |= reached[place]
        reached.append(mask)
        last[task.lane] = base + i
    return waits


def _chains(form: _Form, waits: Sequence[_Wait]) -> list[list[int]]:
    """Tasks, by their place in the order, that are one piece."""
    base = form.base
    met = {form.index_of[link] for task in form.tasks for link in task.links}
    readers = _readers(form, waits, met)
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for i, (task, wait) in enumerate(zip(form.tasks, waits, strict=True)):
        before = wait.places[0] - base if len(wait.places) == 1 else -1
        follows = before >= 0 and readers[base + before] == 1 and i not in met
        if follows and _continues(form.tasks[before], task):
            chain = chain_of[before]
        else:
            chain: list[int] = []
            chains.append(chain)
        chain.append(i)
        chain_of[i] = chain
    return chains


def _readers(form: _Form, waits: Iterable[_Wait], met: Iterable[int]) -> list[int]:
    """How many wait for each place."""
    readers = [0] * (form.base + len(form.tasks))
    for place in (p for wait in waits for p in wait.places):
        readers[place] += 1
    for place in (form.place(v) for out in form.outs for v in out):
        readers[place] += 1
    for i in met:
        readers[form.base + i] += 1
    return readers


def _continues(before: TaskForm, task: TaskForm) -> bool:
    alone = task.is_alone and task.mail is None and not task.links
    return alone and before.lane == task.lane and before.mail is None and not before.links


def _piece(form: _Form, chain: Sequence[int], wait: _Wait, value: Sequence[int]) -> Piece:
    first = form.tasks[chain[0]]
    team = first.lane // 2
    return Piece(
        tasks=tuple(chain),
        nodes=tuple(form.tasks[i].node for i in chain),
        lane=first.lane,
        same=tuple(value[p] for p in wait.places if form.team(p) == team),
        cross=tuple(value[p] for p in wait.places if form.team(p) != team),
        order=tuple(value[p] for p in wait.places),
        data=wait.data,
        links=tuple(value[form.base + form.index_of[link]] - form.base for link in first.links),
        mail=first.mail,
        waits_once=first.is_alone
        and first.mail is None
        and not first.links
        and [*map(form.team, wait.places)] == [team],
    )


def _ends(pieces: Iterable[Piece], form: _Form) -> tuple[int, ...]:
    """The value that each lane is left with."""
    ends = list(range(form.lanes))
    for number, piece in enumerate(pieces):
        ends[piece.lane] = form.base + number
    return tuple(ends)


def _places(pieces: Iterable[Piece], count: int) -> tuple[tuple[int, int], ...]:
    """The (piece, number within it) of each of `count` nodes."""
    places = [(0, 0)] * count
    for number, piece in enumerate(pieces):
        for which, node in enumerate(piece.nodes):
            places[node] = number, which
    return tuple(places)


def _awaits_inputs(pieces: Iterable[Piece], form: _Form, mirrored: bool) -> bool:
    awaiting = set(range(form.lanes, form.base))
    for number, piece in enumerate(pieces):
        meets = piece.mail is not None and piece.mail.sends is mirrored
        if not meets and awaiting.isdisjoint({*piece.order, *(form.base + link for link in piece.links)}):
            return False
        awaiting.add(form.base + number)
    return True
