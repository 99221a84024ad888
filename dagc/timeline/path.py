"""The critical path, kept as stretches that repeat.

A stretch is a few slots, each one rank's part in one step; `times` says how often it occurs, each time `stride` copies
earlier. Asked for its elements, the path spells out every node execution in the order of time; what only needs totals
adds up stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import NamedTuple, overload

from dagc.timeline.history import History, Slot
from dagc.timeline.timeline import PathSlot
from dagc.timeline.times import at


class Place(NamedTuple):
    """Step `step` in copy `copy` of `executed[run]`, at one local rank of its team."""

    run: int
    copy: int
    step: int
    rank: int

    @property
    def slot(self) -> Slot:
        """The same without the rank."""
        return Slot(self.run, self.copy, self.step)

    def before(self, runs: int) -> Place:
        """The same place so many runs before."""
        return Place(self.run - runs, self.copy, self.step, self.rank) if runs else self


class Leg(NamedTuple):
    """Places from the latest to the earliest, `times` times, each `stride` copies before the one before.

    Where `run` is given, they are those of that run, which does as the one that the places name.
    """

    places: tuple[Place, ...]
    times: int
    stride: int
    run: int | None = None

    def place(self, number: int, again: int) -> Place:
        """One of the places, the `again`-th time."""
        run, copy, step, rank = self.places[number]
        return Place(run if self.run is None else self.run, copy - again * self.stride, step, rank)


class Crossing(NamedTuple):
    """The time that the path takes from where it enters a run to where it leaves it, or a part of that."""

    run: int
    start: int
    end: int


class Round(NamedTuple):
    """Legs from the latest to the earliest, `times` times, each `runs` runs before the one before."""

    legs: tuple[Leg, ...]
    times: int = 1
    runs: int = 0


class CriticalPath(Sequence[PathSlot]):
    """Every node execution of the path, spelt out when asked for."""

    def __init__(self, history: History, rounds: tuple[Round, ...]) -> None:
        """`rounds` from the end of the phase back to its start."""
        self._history = history
        self._rounds = rounds

    @cached_property
    def _slots(self) -> tuple[PathSlot, ...]:
        return tuple(slot for place in reversed(list(self._places())) for slot in self._spell(place))

    def __len__(self) -> int:
        """Node executions; counted, not spelt out."""
        return sum(
            times * leg.times * sum(len(self._nodes(leg.place(number, 0))) for number in range(len(leg.places)))
            for legs, times, _ in self._rounds
            for leg in legs
        )

    @overload
    def __getitem__(self, index: int) -> PathSlot: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PathSlot, ...]: ...
    def __getitem__(self, index: int | slice) -> PathSlot | tuple[PathSlot, ...]:
        """One of the slots, in the order of time."""
        return self._slots[index]

    def __iter__(self) -> Iterator[PathSlot]:
        """All slots, in the order of time."""
        return iter(self._slots)

    @property
    def begins(self) -> tuple[PathSlot, ...]:
        """The nodes of the path's earliest step; empty where nothing runs."""
        if not self._rounds:
            return ()
        legs, times, runs = self._rounds[-1]
        return tuple(self._spell(legs[-1].place(-1, legs[-1].times - 1).before((times - 1) * runs)))

    def outline(self) -> Iterator[tuple[int, int, int]]:
        """Run, copy and node of executions in the order of time: all nodes that the path visits, and all that follow
        each other on it. Of what repeats, the first, second and last time are there; of ways through a segment that are
        alike, the latest.
        """
        places: list[Place] = []
        known: set[tuple[int, ...]] = set()
        for leg, earlier in self._telling_legs():
            member = self._history.executed.run(leg.place(0, 0).before(earlier).run).member
            way = id(leg.places), leg.times, member.size, member.stage, member.position
            if way not in known:
                known.add(way)
                often = _telling(leg.times)
                numbers = range(len(leg.places))
                places += [leg.place(number, again).before(earlier) for again in often for number in numbers]
        return ((place.run, place.copy, node) for place in reversed(places) for node in self._nodes(place))

    def _telling_legs(self) -> Iterator[tuple[Leg, int]]:
        """Legs, and how many runs earlier."""
        for legs, times, runs in self._rounds:
            for earlier in _telling(times):
                yield from ((leg, earlier * runs) for leg in legs)

    def walk(self, spelt: Callable[[int], bool]) -> Iterator[PathSlot | Crossing]:
        """The path in the order of time, without a gap: node by node in the runs that are to be `spelt`, the others
        crossed as a whole.
        """
        for legs, times, runs in reversed(self._rounds):
            for earlier in reversed(range(times)):
                for leg in reversed(legs):
                    yield from self._along(leg, earlier * runs, spelt)

    def _along(self, leg: Leg, earlier: int, spelt: Callable[[int], bool]) -> Iterator[PathSlot | Crossing]:
        numbers = range(len(leg.places))
        latest = leg.place(0, 0).before(earlier)
        visited = numbers if leg.run is None else numbers[:1]
        if not any(spelt(leg.place(number, 0).before(earlier).run) for number in visited):
            first = self._spell(leg.place(-1, leg.times - 1).before(earlier))[0]
            yield Crossing(latest.run, first.start, self._spell(latest)[-1].end)
            return
        for again in reversed(range(leg.times)):
            for number in reversed(numbers):
                yield from self._spell(leg.place(number, again).before(earlier))

    def spans(self) -> Iterator[tuple[PathSlot, PathSlot]]:
        """First and last node of each step of the path, from the latest on."""
        for place in self._places():
            spelt = self._spell(place)
            yield spelt[0], spelt[-1]

    def time_by_rank(self) -> dict[tuple[int, int], int]:
        """Time on the path of each (team, rank) on it."""
        spent: dict[tuple[int, int], int] = {}
        crossed: dict[int, dict[tuple[tuple[int, ...], int, int], int]] = {}
        for leg, times in [(leg, times * leg.times) for legs, times, _ in self._rounds for leg in legs]:
            if id(leg.places) not in crossed:
                crossed[id(leg.places)] = self._times(leg.places)
            through = None if leg.run is None else self._history.executed.run(leg.run).member.program.teams
            for (teams, team, rank), time in crossed[id(leg.places)].items():
                key = (through or teams)[team], rank
                spent[key] = spent.get(key, 0) + times * time
        return spent

    def _times(self, places: Sequence[Place]) -> dict[tuple[tuple[int, ...], int, int], int]:
        """Time on some places of each rank, by the teams of its program, its team among these, and its number."""
        spent: dict[tuple[tuple[int, ...], int, int], int] = {}
        for run, group in groupby(places, key=lambda place: place.run):
            executed = self._history.executed.run(run)
            teams, steps = executed.member.program.teams, executed.kept.steps.steps
            for _, copy, number, rank in group:
                step = steps[number]
                key = teams, step.lane // 2, rank
                row = step.rows[0] if len(step.rows) == 1 else step.rows[executed.row(copy)]
                spent[key] = spent.get(key, 0) + (row if isinstance(row, int) else row.item(rank))
        return spent

    def _places(self) -> Iterator[Place]:
        for legs, times, runs in self._rounds:
            for earlier in [again * runs for again in range(times)]:
                for leg in legs:
                    for again in range(leg.times):
                        yield from (leg.place(number, again).before(earlier) for number in range(len(leg.places)))

    def _nodes(self, place: Place) -> Sequence[int]:
        return self._history.step(place.slot).nodes

    def _spell(self, place: Place) -> list[PathSlot]:
        """The node executions of a place, in the order of time."""
        slot, rank = place.slot, place.rank
        step = self._history.step(slot)
        row = self._history.executed.run(slot.run).row(slot.copy)
        start = at(self._history.start(slot), rank)
        cuts = [at(step.offset(which, row), rank) for which in range(len(step.nodes))]
        cuts.append(at(step.row(row), rank))
        spans = zip(step.nodes, cuts, cuts[1:], strict=False)
        return [PathSlot(slot.run, slot.copy, node, rank, start + a, start + b) for node, a, b in spans]


def outline(path: Sequence[PathSlot]) -> Iterator[tuple[int, int, int]]:
    """Run, copy and node of the executions of a path that tell which nodes it visits, in the order of time."""
    return path.outline() if isinstance(path, CriticalPath) else ((slot.run, slot.copy, slot.node) for slot in path)


def walk(path: Sequence[PathSlot], spelt: Callable[[int], bool]) -> Iterator[PathSlot | Crossing]:
    """A path in the order of time, node by node only in the runs that are to be `spelt`."""
    if isinstance(path, CriticalPath):
        return path.walk(spelt)
    return (slot if spelt(slot.run) else Crossing(slot.run, slot.start, slot.end) for slot in path)


def _telling(times: int) -> tuple[int, ...]:
    """Of what occurs so many times, the first, second and last."""
    return tuple(dict.fromkeys((0, min(1, times - 1), times - 1)))
