"""Stages whose lanes are their own: what a turn does follows from the turn before it and from who sent to it.

Between two turns of such a stage nothing else touches its lanes. So the state that a turn finds is what the stage's
last turn left, and the messages that another turn sent; where both are known, each with how much later it was than
when it was learnt, the difference names the state, and no time needs to be looked at.

A period is run stage by stage. Once two micro-batches of a size went through a stage alike, a pace apart, every further
one goes alike for as long as what they take from the stage before keeps that pace, or comes too early to matter
(F(x + c) = F(x) + c), and is not run. This is how the micro-batches of a pipeline that has settled cost next to
nothing, rank by rank where load is uneven.

Assumes what the executor does, and that a stage sends to the next one only, the last one to the first in the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.timeline.advance import Message
from dagc.timeline.execute import Executed, Executor
from dagc.timeline.form import phase_lane
from dagc.timeline.order import Member, Turn, turn_of
from dagc.timeline.replay import Form, Known, Replay, exactly
from dagc.timeline.times import Time, moved

_Key = tuple[object, ...]

_MANY = 1 << 40
"""More micro-batches than there are."""


@dataclass(slots=True)
class _Track:
    """What a stage did in a period, by micro-batch: a known turn, and how much later than when that was learnt.

    From micro-batch `m` on, all up to `until[m]` go as `m` did, each as much later than the one before as `m` was.
    `sender` is the track that sent to it, while it runs; `before` is what its lanes were left by.
    """

    stage: int
    period: int
    sender: _Track | None
    before: tuple[Known, Time] | None
    known: list[Known] = field(default_factory=list[Known])
    later: list[Time] = field(default_factory=list[Time])
    until: list[int] = field(default_factory=list[int])

    @property
    def last(self) -> tuple[Known, Time] | None:
        """What the lanes were left by."""
        return (self.known[-1], self.later[-1]) if self.known else self.before

    def note(self, known: Known, later: Time, until: int) -> None:
        """What the next micro-batch did."""
        self.known.append(known)
        self.later.append(later)
        self.until.append(until)

    def pace(self, micro_batch: int) -> Time | None:
        """How much later a micro-batch was than the one before, where both went alike."""
        if micro_batch == 0 or self.known[micro_batch] is not self.known[micro_batch - 1]:
            return None
        return self.later[micro_batch] - self.later[micro_batch - 1]

    def sent(self, micro_batch: int) -> Iterator[tuple[int, Message]]:
        """The messages of a micro-batch, with their numbers."""
        by = self.later[micro_batch]
        for post in self.known[micro_batch].posts:
            yield post.number, (post.start + by, post.end + by)


class Follow:
    """Runs periods of several stages, each on lanes of its own."""

    def __init__(self, executor: Executor, graph: PhaseGraph) -> None:
        """Nothing is known yet."""
        self.executor = executor
        self._graph = graph
        self._replay = Replay(executor, graph)
        self._tracks: list[_Track] = []
        self._chain: dict[_Key, tuple[Known, Time]] = {}

    @cached_property
    def _turns(self) -> list[dict[int, Turn]]:
        """A turn of each stage, by size of micro-batch."""
        sizes = self._graph.micro_batches
        firsts = {size: sizes.index(size) for size in sizes}
        return [
            {size: turn_of(self._graph, 0, first, stage) for size, first in firsts.items()}
            for stage in range(self.executor.stages)
        ]

    @cached_property
    def _forms(self) -> list[dict[int, Form]]:
        """What the turns of each stage have in common, by size of micro-batch."""
        return [{size: self._replay.form(turn) for size, turn in turns.items()} for turns in self._turns]

    def able(self) -> bool:
        """Whether every invocation can be replayed whole, and all of a stage run on the same lanes."""
        return all(all(turns.values()) for turns in self._turns) and all(
            all(form.replayable for form in forms.values()) and len({form.lanes for form in forms.values()}) == 1
            for forms in self._forms
        )

    def period(self, period: int) -> list[list[Executed]]:
        """What each block of a period did, by micro-batch and then by stage."""
        before, self._tracks = self._tracks, []
        done: list[list[list[Executed]]] = []
        sender = before[-1] if before else None
        for stage in range(self.executor.stages):
            track = _Track(stage, period, sender, before[stage].last if before else None)
            self._tracks.append(track)
            done.append(self._run(track))
            self._set_lanes(track)
            track.sender, sender = None, track
        self._set_mail(sender, range(len(self._graph.micro_batches)))
        return [[one] for of_stages in zip(*done, strict=True) for turn in of_stages for one in turn]

    def _run(self, track: _Track) -> list[list[Executed]]:
        """What a stage did with each micro-batch."""
        done: list[list[Executed]] = []
        while len(done) < len(self._graph.micro_batches):
            done.append(self._turn(track, len(done)))
            done += self._alike(track)
        return done

    def _turn(self, track: _Track, micro_batch: int) -> list[Executed]:
        """One invocation."""
        form = self._forms[track.stage][self._graph.micro_batches[micro_batch]]
        last, key = track.last, self._key(track, micro_batch, form)
        found = self._chain.get(key) if key else None
        if last is None or found is None:
            done, known, by = self._learn(track, micro_batch, form)
            if last is not None:
                self._chain[key] = known, by - last[1]
        else:
            known, by = found[0], moved(last[1], found[1])
            done = self._executed(track, micro_batch, known, by)
        track.note(known, by, micro_batch)
        return done

    def _key(self, track: _Track, micro_batch: int, form: Form) -> _Key:
        """The state that an invocation finds, as it differs from others; empty where nothing was before."""
        if track.last is None:
            return ()
        known, by = track.last
        if track.sender is None or not form.steps.meets:
            return id(form), id(known)
        sender = track.sender
        return id(form), id(known), id(sender.known[micro_batch]), exactly(sender.later[micro_batch], by)

    def _learn(self, track: _Track, micro_batch: int, form: Form) -> tuple[list[Executed], Known, Time]:
        """Run an invocation on the executor, which is given the state that it finds."""
        turn = turn_of(self._graph, track.period, micro_batch, track.stage)
        self._set_lanes(track)
        self._set_mail(track.sender, (micro_batch,))
        return self._replay.replay(turn, form)

    def _alike(self, track: _Track) -> list[list[Executed]]:
        """The micro-batches that go as the last one did, as much later each as it was than the one before."""
        first, known, by = len(track.known), track.known[-1], track.later[-1]
        pace = track.pace(first - 1)
        if pace is None:
            return []
        last = track.until[-1] = self._until(track, pace)
        done: list[list[Executed]] = []
        for micro_batch in range(first, last + 1):
            by = by + pace
            track.note(known, by, last)
            done.append(self._executed(track, micro_batch, known, by))
        return done

    def _until(self, track: _Track, pace: Time) -> int:
        """The last micro-batch up to which all go on at the pace of the last one."""
        sizes, micro_batch, sender = self._graph.micro_batches, len(track.known) - 1, track.sender
        size = sizes[micro_batch]
        last = next((other for other in range(micro_batch, len(sizes)) if sizes[other] != size), len(sizes)) - 1
        if sender is None or not self._forms[track.stage][size].steps.meets:
            return last
        theirs = sender.pace(micro_batch)
        if theirs is None:
            return micro_batch
        base = track.known[-1].base + track.later[-1]
        falls = theirs - pace
        spare = min((_spare(base - end, falls) for _, (_, end) in sender.sent(micro_batch)), default=_MANY)
        return min(last, sender.until[micro_batch], micro_batch + spare)

    def _executed(self, track: _Track, micro_batch: int, known: Known, by: Time) -> list[Executed]:
        """What the blocks of an invocation did that goes as a known one, later."""
        size = self._graph.micro_batches[micro_batch]
        done: list[Executed] = []
        for block, piece in zip(self._turns[track.stage][size], known.pieces, strict=True):
            like = block.members[0]
            at = (track.period, micro_batch, size, track.stage, like.position, 0)
            done.append(piece.again(Member(*at, like.segment, like.program), piece.mail_base, by))
        return done

    def _set_lanes(self, track: _Track) -> None:
        """Give the executor the lanes of a stage."""
        if track.last is None:
            return
        known, by = track.last
        teams = next(iter(self._turns[track.stage].values()))[0].members[0].program.teams
        for lane, time in zip(known.form.lanes, known.lanes, strict=True):
            self.executor.lanes[phase_lane(teams, lane)] = moved(time, by)

    def _set_mail(self, sender: _Track | None, micro_batches: Iterable[int]) -> None:
        """Give the executor what a stage sent, and nothing else."""
        self.executor.mail = (
            {
                (sender.period, micro_batch, sender.stage, number): message
                for micro_batch in micro_batches
                for number, message in sender.sent(micro_batch)
            }
            if sender
            else {}
        )


def _spare(early: Time, falls: Time) -> int:
    """How often a message comes alike again: one that is `early` goes on to be, falling back each time by `falls`, any
    other has to keep the pace.
    """
    if isinstance(early, int) and isinstance(falls, int):
        return _MANY if not falls or (early > 0 > falls) else max(0, early - 1) // max(1, falls)
    ahead, losing = np.broadcast_arrays(early, falls)
    spare = np.where((losing > 0) | (ahead <= 0), np.maximum(0, ahead - 1) // np.maximum(1, losing), _MANY)
    return int(np.where(losing == 0, _MANY, spare).min())
