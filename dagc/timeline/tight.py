"""What a slot waited for to its last moment.

Some predecessor of a slot is tight: it ends just when the slot starts. A tie goes to the data edge, then to the
message, then to the lane, then to the order edge; among ranks, to the slot's own, then to the lowest. A collective
waits for the slowest of its group. A receive is bound by its send, with which it runs at the same time.

Assumes starts as the executor leaves them, so that every slot after time 0 has a tight predecessor.
"""

from __future__ import annotations

from collections.abc import Iterable

from dagc.timeline.advance import Times
from dagc.timeline.history import History, Slot
from dagc.timeline.path import Place
from dagc.timeline.steps import Step, Steps
from dagc.timeline.times import Time, at, latest, slowest


class Tight:
    """The tight predecessors of places. Who asks goes back in time, copy by copy, so one is held with its times."""

    def __init__(self, history: History) -> None:
        """Of one phase."""
        self._history = history
        self._steps: Steps
        self._times: Times
        self._later: Time

    def through(self, place: Place) -> tuple[list[Place], Place | None]:
        """The way back through a copy: its places from the given one on, and what the last of them waited for, which
        stands in another copy; None where that place starts at 0.
        """
        run, copy = place.run, place.copy
        self._hold(run, copy)
        behind = self._steps.behind
        walked: list[Place] = []
        while True:
            walked.append(place)
            walked += [Place(run, copy, step, place.rank) for step in behind[place.step]]
            before = self._before(walked[-1])
            if before is None or before.run != run or before.copy != copy:
                return walked, before
            place = before

    def _before(self, place: Place) -> Place | None:
        """The predecessor, at the rank that was waited for; None where the place starts at 0."""
        _, _, number, rank = place
        step = self._steps.steps[number]
        if step.waits_once and step.order[0] < self._steps.inputs:
            source = self._source(place, step.order[0])
            if source is not None and self._history.team(source) == self._history.team(place.slot):
                return Place(*source, rank)
        start = at(self._times.starts[number], rank)
        if not step.links and step.mail is None:
            return self._waited(place, step, step.order, start)
        found = self._waited(place, step, step.order[: step.data], start)
        if found is None:
            found = self._message(place, step, start + at(self._later, rank))
        return found or self._waited(place, step, step.order[step.data :], start)

    def _hold(self, run: int, copy: int) -> None:
        executed = self._history.executed.run(run)
        self._steps = executed.kept.steps
        self._times, self._later = executed.times(copy)

    def _waited(self, place: Place, step: Step, values: Iterable[int], start: int) -> Place | None:
        """The first of some values that is tight. What the executor took a value for is no earlier than it was and no
        later than it could have been, so what came into the copy is looked up where it ended.
        """
        run, copy, _, rank = place
        inputs, times = self._steps.inputs, self._times.values
        for value in values:
            is_own = not step.cross or value in step.same
            tight = _tight_rank(step, rank, times[value], start, is_own)
            if tight is None:
                continue
            if value >= inputs:
                return Place(run, copy, value - inputs, tight)
            source = self._source(place, value)
            found = None if source is None else self._ended(place, step, source, start, is_own)
            if found is not None:
                return found
        return None

    def _ended(self, place: Place, step: Step, source: Slot, start: int, is_own: bool) -> Place | None:
        """A slot before the copy, if it ends when the place starts."""
        history = self._history
        is_own = is_own and history.team(source) == history.team(place.slot)
        start += at(self._later, place.rank)
        rank = _tight_rank(step, place.rank, history.end(source), start, is_own)
        return None if rank is None else Place(*source, rank)

    def _source(self, place: Place, value: int) -> Slot | None:
        """The slot before the copy that a value comes from."""
        lanes = self._steps.lanes
        if value < lanes:
            return self._history.before_on_lane(place.slot, value)
        return self._history.feeder(place.slot, value - lanes)

    def _message(self, place: Place, step: Step, start: int) -> Place | None:
        """The send that a receive met, by its start, or by its end less the receive's duration."""
        history, slot = self._history, place.slot
        for link in step.links:
            found = self._met(place, Slot(place.run, place.copy, link), None, start)
            if found is not None:
                return found
        send = history.sender(slot)
        if send is None:
            return None
        widths = [history.graph.teams[history.team(one)].width for one in (send, slot)]
        return self._met(place, send, place.rank if widths[0] == widths[1] else None, start)

    def _met(self, place: Place, send: Slot, source: int | None, start: int) -> Place | None:
        """The send, if it binds a rank of the receive; `source` is the send's rank, None for its last."""
        begun, done = self._history.start(send), self._history.end(send)
        first = slowest(begun) if source is None else source
        if at(begun, first) == start:
            return Place(*send, first)
        last = slowest(done) if source is None else source
        executed = self._history.executed.run(place.run)
        length = at(executed.steps.steps[place.step].row(executed.row(place.copy)), place.rank)
        return Place(*send, last) if at(done, last) == start + length else None


def _tight_rank(step: Step, rank: int, time: Time, start: int, is_own: bool) -> int | None:
    """The rank whose time is the start: of another team its last; else itself, or the lowest of its group."""
    if not is_own:
        return slowest(time) if latest(time) == start else None
    if isinstance(time, int):
        return rank if time == start else None
    if time.item(rank) == start:
        return rank
    if step.group is None:
        return None
    beside = step.group.beside(rank)
    tight = beside[time[beside] == start]
    return int(tight.min()) if tight.size else None
