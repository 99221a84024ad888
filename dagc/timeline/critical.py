"""The critical path of a scheduled phase: the chain of slots that decides the end.

Walks back from the last end of step 0, step by step. At each slot some predecessor is tight: it ends just when the slot
starts. A tie goes to the data edge, then to the message, then to the lane, then to the order edge; among ranks, to the
slot's own, then to the lowest. A collective waits for the slowest of its group, so the walk goes on at that rank. A
receive is bound by its send, with which it runs at the same time.

Copies that follow by a constant shift decide alike. So once the walk stands in a copy where it stood in a later one, at
the same step and rank, the stretch between the two repeats, and is kept once with its count. Runs that the executor
found alike are crossed alike, and the way through is found once.

Assumes starts as the executor leaves them, so that every slot after time 0 has a tight predecessor.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.timeline.history import History, Slot
from dagc.timeline.path import CriticalPath, Leg, Place
from dagc.timeline.steps import Step
from dagc.timeline.times import Time, at, latest
from dagc.timeline.times import slowest as _slowest

_Entrance = tuple[int, int, int, int]
"""What a run keeps (by identity), and the copy, the step and the rank at which it is entered."""


def critical_path(history: History) -> CriticalPath:
    """Slots from time 0 to the makespan, in the order of time."""
    walk = _Walk(history)
    place = _last(history)
    while place is not None:
        place = walk.on(place)
    return CriticalPath(history, walk.finish())


class _Walk:
    """The way back so far: finished legs, and the places of the one that is being walked.

    `seen` holds the places of the present block that a repetition may come back to. `crossed` holds the ways through
    runs that keep the same state: who enters a like run at the same place goes the same way through it. `entered` is
    the run that is being crossed for the first time, and the number of its first leg.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._legs: list[Leg] = []
        self._walked: list[Place] = []
        self._seen: dict[tuple[int, int, int], int] = {}
        self._block = range(0)
        self._crossed: dict[_Entrance, tuple[Leg, ...]] = {}
        self._entered: tuple[_Entrance, int] | None = None

    def on(self, place: Place) -> Place | None:
        """Go from a place to what it waited for, or to the far end of a stretch that is known."""
        history, slot = self._history, place.slot
        if slot.run not in self._block:
            self._block, self._seen = history.peers[slot.run], {}
            known = self._enter(place)
            if known:
                self._legs += [Leg(leg.places, leg.times, leg.stride, slot.run) for leg in known]
                return self._leave(self._legs[-1].place(-1, known[-1].times - 1))
        if history.executed[slot.run].explicit < history.executed[slot.run].count:
            key = (slot.run, slot.step, place.rank)
            stretch = self._walked[self._seen[key] :] if key in self._seen else []
            leg = _repeated(history, stretch, place) if stretch else None
            if leg is not None:
                del self._walked[self._seen[key] :]
                self._close()
                self._legs.append(leg)
                self._seen = {}
                return leg.place(0, leg.times)
            self._seen[key] = len(self._walked)
        self._walked.append(place)
        return self._leave(place)

    def finish(self) -> tuple[Leg, ...]:
        """All legs, the last one closed."""
        self._close()
        return tuple(self._legs)

    def _enter(self, place: Place) -> tuple[Leg, ...]:
        """The known way through the run of a place; where there is none, it is noted from here on."""
        self._close()
        self._entered = None
        if len(self._block) > 1:
            return ()
        slot = place.slot
        entrance = (id(self._history.executed[slot.run].kept), slot.copy, slot.step, place.rank)
        known = self._crossed.get(entrance, ())
        if not known:
            self._entered = entrance, len(self._legs)
        return known

    def _leave(self, place: Place) -> Place | None:
        """What a place waited for; where that is another run, the way through this one is known now."""
        before = _only(self._history, place) or next(_tight(self._history, place), None)
        if self._entered and (before is None or before.slot.run != place.slot.run):
            entrance, first = self._entered
            self._close()
            self._crossed[entrance] = tuple(self._legs[first:])
            self._entered = None
        return before

    def _close(self) -> None:
        """End the leg that is being walked."""
        if self._walked:
            self._legs.append(Leg(tuple(self._walked), 1, 0))
            self._walked = []


def _repeated(history: History, stretch: list[Place], place: Place) -> Leg | None:
    """The stretch before a place as often as it repeats: it may look back no further than the last explicit copy."""
    stride = stretch[0].slot.copy - place.slot.copy
    again = (place.slot.copy - history.executed[place.slot.run].explicit + 1) // stride
    return Leg(tuple(stretch), 1 + again, stride) if again > 0 else None


def _last(history: History) -> Place | None:
    """The first slot of step 0, in program order, that ends with the phase, and its first rank that does."""
    makespan = history.makespan
    for index, executed in enumerate(history.executed):
        if executed.member.step or executed.last_end < makespan:
            continue
        for step in range(len(executed.steps.steps)):
            slot = Slot(index, executed.count - 1, step)
            end = history.end(slot)
            if latest(end) == makespan:
                return Place(slot, _slowest(end))
    return None


def _only(history: History, place: Place) -> Place | None:
    """The one thing on its own team that a slot waits for, if there is just one: it is tight."""
    slot, rank = place
    step = history.step(slot)
    if len(step.same) != 1 or step.cross or step.links or step.mail or step.group is not None:
        return None
    source = _source(history, slot, step.same[0])
    return None if source is None or history.team(source) != history.team(slot) else Place(source, rank)


def _tight(history: History, place: Place) -> Iterator[Place]:
    """Predecessors that a slot waited for to its last moment, best first. None of them where it started at 0."""
    slot, rank = place.slot, place.rank
    step = history.step(slot)
    times, later = history.executed[slot.run].times(slot.copy)
    start = at(times.starts[slot.step], rank)
    for value in step.order[: step.data]:
        yield from _waited(history, place, step, value, times.values[value], start)
    yield from _message(history, place, start + at(later, rank))
    for value in step.order[step.data :]:
        yield from _waited(history, place, step, value, times.values[value], start)


def _source(history: History, slot: Slot, value: int) -> Slot | None:
    """The slot that a value comes from."""
    steps = history.steps(slot.run)
    if value >= steps.inputs:
        return Slot(slot.run, slot.copy, value - steps.inputs)
    if value < steps.lanes:
        return history.before_on_lane(slot, value)
    return history.feeder(slot, value - steps.lanes)


def _waited(history: History, place: Place, step: Step, value: int, time: Time, start: int) -> Iterator[Place]:
    """The source of a value at the rank that is tight, if one is; only members of the rank's group count.

    `time` is what the executor took the value for, no earlier than it was and no later than it could have been.
    """
    slot = place.slot
    steps = history.steps(slot.run)
    is_own = steps.team(value) == step.lane // 2
    rank = _tight_rank(step, place.rank, time, start) if is_own else _last_rank(time, start)
    if rank is None:
        return
    if value >= steps.inputs:
        yield Place(Slot(slot.run, slot.copy, value - steps.inputs), rank)
        return
    source = _source(history, slot, value)
    if source is not None:
        begun = at(history.start(slot), place.rank)
        end = history.end(source)
        is_own = is_own and history.team(source) == history.team(slot)
        rank = _tight_rank(step, place.rank, end, begun) if is_own else _last_rank(end, begun)
        if rank is not None:
            yield Place(source, rank)


def _last_rank(time: Time, start: int) -> int | None:
    """The last rank of another team, if it is done just then."""
    return _slowest(time) if latest(time) == start else None


def _tight_rank(step: Step, rank: int, time: Time, start: int) -> int | None:
    """The rank itself if its time is the start, else the lowest of its group whose time is."""
    if isinstance(time, int):
        return rank if time == start else None
    if at(time, rank) == start:
        return rank
    if step.group is None:
        return None
    group = step.group.of(rank)
    tight = np.flatnonzero(time[group] == start)
    return int(group[tight[0]]) if tight.size else None


def _message(history: History, place: Place, start: int) -> Iterator[Place]:
    """The send that a receive met, by its start, or by its end less the receive's duration."""
    slot, rank = place.slot, place.rank
    for link in history.step(slot).links:
        yield from _met(history, place, Slot(slot.run, slot.copy, link), None, start)
    send = history.sender(slot)
    if send is not None:
        widths = [history.graph.teams[history.team(s)].width for s in (send, slot)]
        yield from _met(history, place, send, rank if widths[0] == widths[1] else None, start)


def _met(history: History, place: Place, send: Slot, source: int | None, start: int) -> Iterator[Place]:
    """The send, if it binds a rank of the receive; `source` is the send's rank, None for its last."""
    begun, done = history.start(send), history.end(send)
    first = _slowest(begun) if source is None else source
    last = _slowest(done) if source is None else source
    executed = history.executed[place.slot.run]
    length = at(history.step(place.slot).row(executed.row(place.slot.copy)), place.rank)
    if at(begun, first) == start:
        yield Place(send, first)
    elif at(done, last) == start + length:
        yield Place(send, last)
