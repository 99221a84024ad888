"""Runs turns on an executor, and does not run again what was entered alike before.

A turn is the blocks of one invocation, or a part of them. What it does to the state is a max-plus map, so from a state
that differs by a constant from one that was seen (by one for each component of ranks that never meet), everything
follows later by that constant: neither the turn nor any of its blocks is run a second time. Where the copies of a block
differ, the copies that are left are a block of their own, so what two entrances soon have in common is shared from
there on.

What a lane was left with before any of a turn's inputs is there cannot matter, nor when an input came before any of its
lanes was free: what is too early to matter counts as ready with the first that does. It assumes what the executor does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dagc.graph.graph import PhaseGraph
from dagc.timeline.execute import Executed, Executor, MailKey, Tail
from dagc.timeline.form import phase_lane
from dagc.timeline.order import Block, Turn, period_turns
from dagc.timeline.ran import Listed
from dagc.timeline.steps import Steps
from dagc.timeline.times import Time, later, moved

_Label = tuple[tuple[int, int, int], ...]
"""(template, count, offset) of each block of a turn."""

_Key = tuple[object, ...]

_SOON = 4
"""Copies of a block within which two entrances meet, if they meet; later ones are not compared."""


@dataclass(slots=True, eq=False)
class Form:
    """What turns of one label have in common: their lanes, numbered as in a program. `steps` are those of the first
    block; `awaits` when nothing starts before an input is there.
    """

    steps: Steps
    lanes: tuple[int, ...]
    awaits: bool
    replayable: bool


@dataclass(slots=True, eq=False)
class _Before:
    """The state that a turn is entered with: numbers of its lanes, names of its messages, and the first time that
    matters to each component. `key` is what two states have in common that differ by a constant.
    """

    numbers: list[int]
    mail: tuple[MailKey, ...]
    base: Time
    counts: tuple[int, int]
    key: _Key


class _Post(NamedTuple):
    """A message that step `step` of the `piece`-th block sent, by its number among those of the invocation."""

    piece: int
    step: int
    number: int
    start: Time
    end: Time


@dataclass(slots=True, eq=False)
class Known:
    """A turn that was run, entered with `base`, and what it left: lanes, streams, and messages by block and step."""

    form: Form
    base: Time
    counts: tuple[int, int]
    pieces: tuple[Executed, ...]
    lanes: tuple[Time, ...]
    streams: tuple[Time | None, ...]
    posts: tuple[_Post, ...]


@dataclass(slots=True, eq=False)
class _Rest:
    """The copies of a block from `copy` on, entered with `base`, and the state that the last one left."""

    done: Executed
    copy: int
    base: Time
    lanes: tuple[Time, ...]
    streams: tuple[Time, ...]


class Replay:
    """An executor that remembers."""

    def __init__(self, executor: Executor, graph: PhaseGraph, *, once: bool = False) -> None:
        """Nothing is known yet. What runs `once` has no turn that could come again, and is not remembered."""
        self.executor = executor
        self._graph = graph
        self._once = once
        self._forms: dict[_Label, Form] = {}
        self._known: dict[_Key, Known] = {}
        self._rests: dict[_Key, _Rest] = {}

    def period(self, period: int) -> Listed:
        """What ran in a period."""
        return Listed([block for turn in period_turns(self._graph, period) for block in self.run(turn)])

    def run(self, turn: Turn) -> list[list[Executed]]:
        """What each block of a turn did, by member."""
        if len(turn[0].members) == 1 and not self._once:
            form = self.form(turn)
            if form.replayable:
                return [[executed] for executed in self.replay(turn, form)[0]]
        if len(turn) > 1:
            return [self.run((block,))[0] for block in turn]
        return [self.executor.run(block) for block in turn]

    def form(self, turn: Turn) -> Form:
        """What turns like this one have in common."""
        label = tuple((b.members[0].segment.template, b.count, b.members[0].offset) for b in turn)
        found = self._forms.get(label)
        if found is None:
            found = self._forms[label] = self._formed(turn)
        return found

    def _formed(self, turn: Turn) -> Form:
        steps = [self._steps(block) for block in turn]
        once = all(block.count == 1 or not one.mails for block, one in zip(turn, steps, strict=True))
        behind = all(one.awaits_inputs and not one.meets for one in steps[1:])
        lanes = tuple(dict.fromkeys(lane for one in steps for lane in one.used))
        passes_nothing = all(one.passes_nothing for one in steps)
        return Form(steps[0], lanes, steps[0].awaits_inputs, once and behind and passes_nothing)

    def replay(self, turn: Turn, form: Form) -> tuple[list[Executed], Known, Time]:
        """What the blocks of a replayable turn did, what is known of such a turn, and how much later this one is."""
        self.executor.enter(turn[0].members[0])
        before = self._before(turn, form)
        known = self._known.get(before.key)
        if known is None:
            known = self._known[before.key] = self._learn(turn, form, before)
            return list(known.pieces), known, 0
        return self._again(turn, known, before), known, before.base - known.base

    def _before(self, turn: Turn, form: Form) -> _Before:
        """The state before a turn, in which what is too early to matter is moved to the first time that does."""
        executor, member, steps = self.executor, turn[0].members[0], form.steps
        lanes, streams, teams = executor.lanes, executor.streams[member.invocation], member.program.teams
        numbers = [phase_lane(teams, lane) for lane in form.lanes]
        waiting = executor.waiting(member, steps) if steps.meets else ()
        first = executor.components.earliest
        base = first([lanes[number] for number in numbers])
        if form.awaits and len(waiting) == len(steps.meets):
            inputs = [streams[stream] for stream in steps.reads]
            base = later(base, first(inputs + [executor.mail[name][0] for _, name in waiting]))
        for number in numbers:
            lanes[number] = later(lanes[number], base)
        for stream in steps.reads:
            streams[stream] = later(streams[stream], base)
        state = [lanes[number] for number in numbers] + [streams[stream] for stream in steps.reads]
        for _, name in waiting:
            start, end = executor.mail[name]
            executor.mail[name] = later(start, base), later(end, base)
            state += executor.mail[name]
        key = (id(form), *[step for step, _ in waiting], *[exactly(time, base) for time in state])
        counts = executor.counts.get(member.invocation, (0, 0))
        return _Before(numbers, tuple([name for _, name in waiting]), base, counts, key)

    def _learn(self, turn: Turn, form: Form, before: _Before) -> Known:
        """Run a turn, and note what it did."""
        executor = self.executor
        pieces = [self._piece(block) for block in turn] if turn[1:] else [self._run(turn[0], before)]
        last = turn[-1].members[0]
        streams = zip(executor.streams[last.invocation], pieces[-1].steps.outs, strict=True)
        return Known(
            form=form,
            base=before.base,
            counts=before.counts,
            pieces=tuple(pieces),
            lanes=tuple(executor.lanes[number] for number in before.numbers),
            streams=tuple(time if out else None for time, out in streams),
            posts=tuple(
                _Post(index, step, name[-1], *executor.mail[name])
                for index, piece in enumerate(pieces)
                for step in piece.steps.posts
                for name in (executor.name(piece.member, piece.steps, step, piece.mail_base),)
            ),
        )

    def _piece(self, block: Block) -> Executed:
        """A block of a turn that has several. Where a period is one turn, none is entered alike within it, and what a
        later one has in common with it is soon the whole turn.
        """
        is_period = len(self._graph.micro_batches) == 1 == len(self._graph.programs[0])
        if is_period and (block.count == 1 or self._steps(block).copies_alike):
            return self.executor.run(block)[0]
        return self.run((block,))[0][0]

    def _again(self, turn: Turn, known: Known, before: _Before) -> list[Executed]:
        """A turn as it went before, later."""
        executor, by = self.executor, before.base - known.base
        for name in before.mail:
            executor.mail.pop(name, None)
        invocation = turn[0].members[0].invocation
        executor.streams[invocation] = [0 if time is None else time + by for time in known.streams]
        done = self._repeat(turn, known, by, before.counts)
        self._count(done)
        return done

    def _repeat(self, turn: Turn, known: Known, by: Time, counts: tuple[int, int]) -> list[Executed]:
        """What a turn did that goes as a known one, `by` later, with what it leaves on lanes and in the mail."""
        executor, teams = self.executor, turn[0].members[0].program.teams
        sent, received = counts[0] - known.counts[0], counts[1] - known.counts[1]
        for lane, time in zip(known.form.lanes, known.lanes, strict=True):
            executor.lanes[phase_lane(teams, lane)] = time + by
        done: list[Executed] = []
        for block, piece in zip(turn, known.pieces, strict=True):
            base = piece.mail_base[0] + sent, piece.mail_base[1] + received
            done.append(piece.again(block.members[0], base, by))
        for post in known.posts:
            one = done[post.piece]
            name = executor.name(one.member, one.steps, post.step, one.mail_base)
            executor.mail[name] = post.start + by, post.end + by
        return done

    def _count(self, done: list[Executed]) -> None:
        """The messages that the invocation has after the last block."""
        last = done[-1]
        if any(one.steps.mails for one in done):
            sends, (sent, received) = last.steps.sends, last.mail_base
            counts = sent + sends, received + len(last.steps.mails) - sends
            self.executor.counts[last.member.invocation] = counts

    def _run(self, block: Block, before: _Before) -> Executed:
        """One block of one member."""
        steps = self._steps(block)
        if block.count == 1 or steps.copies_alike or steps.mails:
            return self.executor.run(block)[0]
        return self._run_unlike(block, before)

    def _steps(self, block: Block) -> Steps:
        return self.executor.templates[block.members[0].segment.template]

    def _run_unlike(self, block: Block, before: _Before) -> Executed:
        """A block whose copies differ: copy by copy, until what is left was entered alike before."""
        executor, member = self.executor, block.members[0]
        executed = executor.begin(member, block.count)
        entered: list[_Before] = []
        for copy in range(block.count):
            if 0 < copy < _SOON:
                before = self._before((block,), self.form((block,)))
            rest = self._rests.get((copy, *before.key)) if copy < _SOON else None
            if rest is not None:
                self._join(executed, rest, before)
                break
            entered += [before] if copy < _SOON else []
            executed.end = executor.end(executed, executor.copy(executed, copy))
        self._note(executed, entered)
        return executed

    def _join(self, executed: Executed, rest: _Rest, before: _Before) -> None:
        """Take the copies that are left from another block."""
        executor, by = self.executor, before.base - rest.base
        executed.kept.tail = Tail(rest.done.kept, rest.copy, moved(rest.done.later, by))
        executed.end = moved(moved(rest.done.end, rest.done.later), by)
        for number, time in zip(before.numbers, rest.lanes, strict=True):
            executor.lanes[number] = moved(time, by)
        executor.streams[executed.member.invocation] = [moved(time, by) for time in rest.streams]

    def _note(self, executed: Executed, entered: list[_Before]) -> None:
        lanes = tuple(self.executor.lanes[number] for number in entered[0].numbers) if entered else ()
        streams = tuple(self.executor.streams[executed.member.invocation])
        for copy, before in enumerate(entered):
            self._rests[copy, *before.key] = _Rest(executed, copy, before.base, lanes, streams)


def exactly(time: Time, base: Time) -> int | bytes:
    """A time after the base, as part of a key."""
    difference = time - base
    return difference if isinstance(difference, int) else difference.tobytes()
