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

from dagc.timeline.form import MOST_FORMS, Form, Mail, TaskForm


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
    behind: tuple[tuple[int, ...], ...]
    awaits_inputs: bool
    passes_nothing: bool
    chained: frozenset[int]
    own: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Wait:
    """What a task has to wait for, as places; the first `data` are data edges."""

    places: tuple[int, ...]
    data: int


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Places are lanes, streams, then tasks in the order in which they run."""

    form: Form
    lanes: int
    index_of: dict[int, int]

    @property
    def base(self) -> int:
        """Places before the first task."""
        return self.lanes + self.form.streams

    def place(self, value: int) -> int:
        """The place of a task's value."""
        streams = self.form.streams
        return self.lanes + value if value < streams else self.base + self.index_of[value - streams]

    def team(self, place: int) -> int:
        """The program-local team of a place."""
        if place < self.lanes:
            return place // 2
        if place < self.base:
            return self.form.teams[place - self.lanes]
        return self.form.tasks[place - self.base].lane // 2


@lru_cache(maxsize=MOST_FORMS)
def cut_of(form: Form) -> Cut:
    """How a template of this form is cut."""
    tasks, mirrored = form.tasks, form.mirrored
    lanes = 2 * (1 + max((task.lane // 2 for task in tasks), default=0))
    at = _Places(form, lanes, {task.node: i for i, task in enumerate(tasks)})
    waits = _waits(at)
    chains = _chains(at, waits)
    value = list(range(at.base)) + [0] * len(tasks)
    for number, chain in enumerate(chains):
        for i in chain:
            value[at.base + i] = at.base + number
    pieces = tuple(_piece(at, chain, waits[chain[0]], value) for chain in chains)
    left = tuple(tuple(value[at.place(v)] for v in out) for out in form.outs)
    is_own = all(len(out) == 1 and at.team(at.place(out[0])) == 0 for out in form.outs)
    return Cut(
        lanes=lanes,
        pieces=pieces,
        outs=left,
        ends=_ends(pieces, at),
        places=_places(pieces, len(tasks)),
        reads=tuple(sorted({v - lanes for piece in pieces for v in piece.order if lanes <= v < at.base})),
        meets=tuple(i for i, piece in enumerate(pieces) if piece.mail and piece.mail.sends is mirrored),
        posts=tuple(i for i, piece in enumerate(pieces) if piece.mail and piece.mail.sends is not mirrored),
        behind=_behind(pieces, at.base),
        awaits_inputs=_awaits_inputs(pieces, at, mirrored),
        passes_nothing=all(v >= at.base for out in left for v in out),
        chained=_chained(pieces, left, at),
        own=tuple(out[0] for out in left) if is_own else None,
    )


def _chained(pieces: Sequence[Piece], outs: Sequence[tuple[int, ...]], at: _Places) -> frozenset[int]:
    """The streams that the first piece waits for and the last one yields, where each other waits for the one before."""
    if not pieces or any(piece.lane // 2 for piece in pieces):
        return frozenset()
    if any(at.base + number not in piece.order for number, piece in enumerate(pieces[1:])):
        return frozenset()
    last = at.base + len(pieces) - 1
    return frozenset(stream for stream, out in enumerate(outs) if last in out and at.lanes + stream in pieces[0].order)


def _behind(pieces: Sequence[Piece], base: int) -> tuple[tuple[int, ...], ...]:
    """By piece, those before it, nearest first, of which each is the one thing that the next waits for."""
    behind: list[tuple[int, ...]] = []
    for piece in pieces:
        before = piece.order[0] - base if piece.waits_once else -1
        behind.append((before, *behind[before]) if before >= 0 else ())
    return tuple(behind)


def _waits(at: _Places) -> list[_Wait]:
    """Of each task, the places that no other place it waits for comes after."""
    base = at.base
    reached = [1 << place for place in range(base)]
    last = list(range(at.lanes))
    waits: list[_Wait] = []
    for i, task in enumerate(at.form.tasks):
        deps = [at.place(dep) for dep in task.deps]
        places = dict.fromkeys([*deps[: task.data], last[task.lane], *deps[task.data :]])
        kept = tuple(p for p in places if not any(q != p and reached[q] >> p & 1 for q in places))
        waits.append(_Wait(kept, sum(p in deps[: task.data] for p in kept)))
        mask = 1 << (base + i)
        for place in (*kept, *(base + at.index_of[link] for link in task.links)):
            mask |= reached[place]
        reached.append(mask)
        last[task.lane] = base + i
    return waits


def _chains(at: _Places, waits: Sequence[_Wait]) -> list[list[int]]:
    """Tasks, by their place in the order, that are one piece."""
    base = at.base
    met = {at.index_of[link] for task in at.form.tasks for link in task.links}
    readers = _readers(at, waits, met)
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for i, (task, wait) in enumerate(zip(at.form.tasks, waits, strict=True)):
        before = wait.places[0] - base if len(wait.places) == 1 else -1
        follows = before >= 0 and readers[base + before] == 1 and i not in met
        if follows and _continues(at.form.tasks[before], task):
            chain = chain_of[before]
        else:
            chain: list[int] = []
            chains.append(chain)
        chain.append(i)
        chain_of[i] = chain
    return chains


def _readers(at: _Places, waits: Iterable[_Wait], met: Iterable[int]) -> list[int]:
    """How many wait for each place."""
    readers = [0] * (at.base + len(at.form.tasks))
    for place in (p for wait in waits for p in wait.places):
        readers[place] += 1
    for place in (at.place(v) for out in at.form.outs for v in out):
        readers[place] += 1
    for i in met:
        readers[at.base + i] += 1
    return readers


def _continues(before: TaskForm, task: TaskForm) -> bool:
    alone = task.is_alone and task.mail is None and not task.links
    return alone and before.lane == task.lane and before.mail is None and not before.links


def _piece(at: _Places, chain: Sequence[int], wait: _Wait, value: Sequence[int]) -> Piece:
    first = at.form.tasks[chain[0]]
    team = first.lane // 2
    return Piece(
        tasks=tuple(chain),
        nodes=tuple(at.form.tasks[i].node for i in chain),
        lane=first.lane,
        same=tuple(value[p] for p in wait.places if at.team(p) == team),
        cross=tuple(value[p] for p in wait.places if at.team(p) != team),
        order=tuple(value[p] for p in wait.places),
        data=wait.data,
        links=tuple(value[at.base + at.index_of[link]] - at.base for link in first.links),
        mail=first.mail,
        waits_once=first.is_alone and first.mail is None and not first.links and [*map(at.team, wait.places)] == [team],
    )


def _ends(pieces: Iterable[Piece], at: _Places) -> tuple[int, ...]:
    """The value that each lane is left with."""
    ends = list(range(at.lanes))
    for number, piece in enumerate(pieces):
        ends[piece.lane] = at.base + number
    return tuple(ends)


def _places(pieces: Iterable[Piece], count: int) -> tuple[tuple[int, int], ...]:
    """The (piece, number within it) of each of `count` nodes."""
    places = [(0, 0)] * count
    for number, piece in enumerate(pieces):
        for which, node in enumerate(piece.nodes):
            places[node] = number, which
    return tuple(places)


def _awaits_inputs(pieces: Iterable[Piece], at: _Places, mirrored: bool) -> bool:
    awaiting = set(range(at.lanes, at.base))
    for number, piece in enumerate(pieces):
        meets = piece.mail is not None and piece.mail.sends is mirrored
        if not meets and awaiting.isdisjoint({*piece.order, *(at.base + link for link in piece.links)}):
            return False
        awaiting.add(at.base + number)
    return True
