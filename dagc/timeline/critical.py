"""The critical path of a scheduled phase: the chain of slots that decides the end.

Walks back from the last end of step 0, copy by copy, from each place to the one that it waited for (`tight.py`).

Copies that follow by a constant shift decide alike. So once the walk enters a copy where it entered a later one, at the
same step and rank, the stretch between the two repeats, and is kept once with its count. Runs that the executor
found alike are crossed alike, and the way through is found once. So is the way from one micro-batch to the one before,
where a pipeline has settled.
"""

from __future__ import annotations

from dagc.timeline.history import History, Slot
from dagc.timeline.path import CriticalPath, Leg, Place, Round
from dagc.timeline.tight import Tight
from dagc.timeline.times import latest, slowest

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

    `seen` holds where copies of the present block were entered, to which a repetition may come back. `crossed` holds
    the ways through runs that keep the same state: who enters a like run at the same place goes the same way through
    it. `entered` is the run that is being crossed for the first time, and the number of its first leg. `passed` holds
    where the runs since the last finished round were entered, with the number of the first leg from there.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._tight = Tight(history)
        self._rounds: list[Round] = []
        self._legs: list[Leg] = []
        self._walked: list[Place] = []
        self._seen: dict[tuple[int, int, int], int] = {}
        self._block = range(0)
        self._crossed: dict[_Entrance, tuple[Leg, ...]] = {}
        self._entered: tuple[_Entrance, int] | None = None
        self._passed: dict[_Entrance, tuple[int, int]] = {}

    def on(self, place: Place) -> Place | None:
        """Go from where a copy is entered to where the next one is, or to the far end of a stretch that is known."""
        run = place.run
        if run not in self._block:
            self._block, self._seen = self._history.executed.peers(run), {}
            self._close()
            entrance = id(self._history.executed.run(run).kept), place.copy, place.step, place.rank
            far = self._around(place, entrance)
            if far is not None:
                self._block = range(0)
                return far
            known = self._enter(entrance)
            if known:
                self._legs += [Leg(leg.places, leg.times, leg.stride, run) for leg in known]
                return self._tight.through(self._legs[-1].place(-1, known[-1].times - 1))[1]
        if self._history.follows(run):
            key = (run, place.step, place.rank)
            stretch = self._walked[self._seen[key] :] if key in self._seen else []
            leg = _repeated(self._history, stretch, place) if stretch else None
            if leg is not None:
                del self._walked[self._seen[key] :]
                self._close()
                self._legs.append(leg)
                self._seen = {}
                return leg.place(0, leg.times)
            self._seen[key] = len(self._walked)
        walked, before = self._tight.through(place)
        self._walked += walked
        if before is None or before.run != run:
            self._leave()
        return before

    def finish(self) -> tuple[Round, ...]:
        """All rounds, the last leg closed."""
        self._close()
        self._end_round(len(self._legs))
        return tuple(self._rounds)

    def _around(self, place: Place, entrance: _Entrance) -> Place | None:
        """The far end of a way from run to run that repeats; None where it is not known to."""
        later, first = self._passed.get(entrance, (place.run, 0))
        self._passed[entrance] = place.run, len(self._legs)
        again = self._history.executed.more_rounds(place.run, later)
        if not again:
            return None
        self._end_round(first)
        self._rounds.append(Round(tuple(self._legs), 1 + again, later - place.run))
        self._legs, self._passed = [], {}
        return place.before(again * (later - place.run))

    def _end_round(self, legs: int) -> None:
        """The first legs occur once, in this order."""
        if legs:
            self._rounds.append(Round(tuple(self._legs[:legs])))
            del self._legs[:legs]

    def _enter(self, entrance: _Entrance) -> tuple[Leg, ...]:
        """The known way through a run; where there is none, it is noted from here on."""
        self._entered = None
        if len(self._block) > 1:
            return ()
        known = self._crossed.get(entrance, ())
        if not known:
            self._entered = entrance, len(self._legs)
        return known

    def _leave(self) -> None:
        """The way through the run that is left is known now."""
        if self._entered:
            entrance, first = self._entered
            self._close()
            self._crossed[entrance] = tuple(self._legs[first:])
            self._entered = None

    def _close(self) -> None:
        """End the leg that is being walked."""
        if self._walked:
            self._legs.append(Leg(tuple(self._walked), 1, 0))
            self._walked = []


def _repeated(history: History, stretch: list[Place], place: Place) -> Leg | None:
    """The stretch before a place as often as it repeats: it may look back no further than the last explicit copy."""
    stride = stretch[0].copy - place.copy
    again = (place.copy - history.executed.run(place.run).explicit + 1) // stride
    return Leg(tuple(stretch), 1 + again, stride) if again > 0 else None


def _last(history: History) -> Place | None:
    """The first slot of step 0, in program order, that ends with the phase, and its first rank that does."""
    if history.last_done is None:
        return None
    makespan, run = history.last_done
    executed = history.executed.run(run)
    for step in range(len(executed.steps.steps)):
        slot = Slot(run, executed.count - 1, step)
        end = history.end(slot)
        if latest(end) == makespan:
            return Place(*slot, slowest(end))
    return None
