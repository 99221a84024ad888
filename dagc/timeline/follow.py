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

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.timeline.execute import Executor
from dagc.timeline.form import phase_lane
from dagc.timeline.order import Turn, turn_of
from dagc.timeline.replay import Form, Known, Replay, exactly
from dagc.timeline.times import Time, moved
from dagc.timeline.track import Followed, Track

_Key = tuple[object, ...]

_MANY = 1 << 40
"""More micro-batches than there are."""


class Follow:
    """Runs periods of several stages, each on lanes of its own."""

    def __init__(self, executor: Executor, graph: PhaseGraph) -> None:
        """Nothing is known yet."""
        self.executor = executor
        self._graph = graph
        self._replay = Replay(executor, graph)
        self._tracks: list[Track] = []
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

    def period(self, period: int) -> Followed:
        """What ran in a period."""
        before, self._tracks = self._tracks, []
        sender = before[-1] if before else None
        for stage in range(self.executor.stages):
            track = Track(stage, period, sender, before[stage].last if before else None)
            self._tracks.append(track)
            self._run(track)
            self._set_lanes(track)
            track.sender, sender = None, track
        self._set_mail(sender, range(len(self._graph.micro_batches)))
        return Followed(self._graph.micro_batches, self._turns, self._tracks)

    def _run(self, track: Track) -> None:
        """What a stage does with each micro-batch."""
        while len(track) < len(self._graph.micro_batches):
            track.note(*self._turn(track, len(track)))
            micro_batch = len(track) - 1
            pace = track.pace(micro_batch)
            if pace is not None:
                track.go_on(self._until(track, micro_batch, pace), pace)

    def _turn(self, track: Track, micro_batch: int) -> tuple[Known, Time]:
        """A known turn that an invocation goes as, and how much later it is."""
        form = self._forms[track.stage][self._graph.micro_batches[micro_batch]]
        last, key = track.last, self._key(track, micro_batch, form)
        found = self._chain.get(key) if key else None
        if last is not None and found is not None:
            return found[0], moved(last[1], found[1])
        known, by = self._learn(track, micro_batch, form)
        if last is not None:
            self._chain[key] = known, by - last[1]
        return known, by

    def _key(self, track: Track, micro_batch: int, form: Form) -> _Key:
        """The state that an invocation finds, as it differs from others; empty where nothing was before."""
        if track.last is None:
            return ()
        known, by = track.last
        if track.sender is None or not form.steps.meets:
            return id(form), id(known)
        sent, later = track.sender.at(micro_batch)
        return id(form), id(known), id(sent), exactly(later, by)

    def _learn(self, track: Track, micro_batch: int, form: Form) -> tuple[Known, Time]:
        """Run an invocation on the executor, which is given the state that it finds."""
        turn = turn_of(self._graph, track.period, micro_batch, track.stage)
        self._set_lanes(track)
        self._set_mail(track.sender, (micro_batch,))
        _, known, by = self._replay.replay(turn, form)
        return known, by

    def _until(self, track: Track, micro_batch: int, pace: Time) -> int:
        """The last micro-batch up to which all go on at the pace of one."""
        sizes, sender = self._graph.micro_batches, track.sender
        size = sizes[micro_batch]
        last = next((other for other in range(micro_batch, len(sizes)) if sizes[other] != size), len(sizes)) - 1
        if sender is None or not self._forms[track.stage][size].steps.meets:
            return last
        theirs = sender.pace(micro_batch)
        if theirs is None:
            return micro_batch
        known, by = track.at(micro_batch)
        base = known.base + by
        falls = theirs - pace
        spare = min((_spare(base - end, falls) for _, (_, end) in sender.sent(micro_batch)), default=_MANY)
        return min(last, sender.of(micro_batch).last, micro_batch + spare)

    def _set_lanes(self, track: Track) -> None:
        """Give the executor the lanes of a stage."""
        if track.last is None:
            return
        known, by = track.last
        teams = next(iter(self._turns[track.stage].values()))[0].members[0].program.teams
        for lane, time in zip(known.form.lanes, known.lanes, strict=True):
            self.executor.lanes[phase_lane(teams, lane)] = moved(time, by)

    def _set_mail(self, sender: Track | None, micro_batches: Iterable[int]) -> None:
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
