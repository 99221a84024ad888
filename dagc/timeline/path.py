"""The critical path, kept as stretches that repeat.

A stretch is a few slots, each one rank's part in one step; `times` says how often it occurs, each time `stride` copies
earlier. Asked for its elements, the path spells out every node execution in the order of time; what only needs totals
adds up stretches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        """Node executions."""
        return len(self._slots)

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
