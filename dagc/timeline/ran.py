"""What ran, in program order: each run by its number, and which runs belong together.

A run is an executed segment of one micro-batch. `Listed` has each of them; stages that follow each other at a pace make
theirs when they are asked for (`track.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, overload

from dagc.timeline.execute import Executed
from dagc.timeline.times import Time

Blocks = Sequence[Sequence[Executed]]
"""What blocks did, by member: those of one block ran in lock step."""

Invocation = tuple[int, ...]
"""(step, micro-batch, stage)."""


class Repeated(NamedTuple):
    """Runs in order, `times` times, each time `apart` later than the time before."""

    runs: Sequence[Executed]
    times: int = 1
    apart: Time = 0


class Ran(Sequence[Executed]):
    """Runs by number."""

    @abstractmethod
    def run(self, number: int) -> Executed:
        """One of the runs."""

    @abstractmethod
    def peers(self, number: int) -> range:
        """The runs of the block that a run is of."""

    @abstractmethod
    def of_invocation(self, invocation: Invocation) -> Sequence[int]:
        """The runs of an invocation, in order; empty where it did not run."""

    @abstractmethod
    def of_team(self, team: int) -> Sequence[int]:
        """The runs that a team takes part in, in order."""

    @abstractmethod
    def repeated(self, team: int) -> list[Repeated]:
        """The same runs, those that go alike told once."""

    @abstractmethod
    def last_done(self) -> tuple[int, int] | None:
        """When the last run of step 0 is done, and the number of the first that is done then; None without runs."""

    @abstractmethod
    def more_rounds(self, earlier: int, later: int) -> int:
        """How often more a critical path goes as it went back from one run to an earlier one, entered alike."""

    @overload
    def __getitem__(self, index: int) -> Executed: ...
    @overload
    def __getitem__(self, index: slice) -> list[Executed]: ...
    def __getitem__(self, index: int | slice) -> Executed | list[Executed]:
        """One of the runs, or some."""
        if isinstance(index, slice):
            return [self.run(number) for number in range(*index.indices(len(self)))]
        return self.run(index)

    def __iter__(self) -> Iterator[Executed]:
        """All runs."""
        return map(self.run, range(len(self)))

    @property
    @abstractmethod
    def blocks(self) -> Blocks:
        """The runs, block by block."""


class Listed(Ran):
    """Runs that are all there."""

    def __init__(self, blocks: Blocks) -> None:
        """Of blocks in order."""
        self._blocks = blocks
        self._runs = [executed for block in blocks for executed in block]

    def __len__(self) -> int:
        """Runs."""
        return len(self._runs)

    def run(self, number: int) -> Executed:
        """One of the runs."""
        return self._runs[number]

    def peers(self, number: int) -> range:
        """The runs of the block that a run is of."""
        return self._peers[number]

    @property
    def blocks(self) -> Blocks:
        """The runs, block by block."""
        return self._blocks

    def of_invocation(self, invocation: Invocation) -> Sequence[int]:
        """The runs of an invocation, in order."""
        return self._of_invocation.get(invocation, ())

    def of_team(self, team: int) -> Sequence[int]:
        """The runs that a team takes part in, in order."""
        return self._of_team.get(team, ())

    def repeated(self, team: int) -> list[Repeated]:
        """Each of them once."""
        return [Repeated([self._runs[number] for number in self.of_team(team)])]

    def last_done(self) -> tuple[int, int] | None:
        """When the last run of step 0 is done, and the number of the first that is done then."""
        ends = [(executed.last_end, -number) for number, executed in enumerate(self) if not executed.member.step]
        if not ends:
            return None
        latest, number = max(ends)
        return latest, -number

    def more_rounds(self, earlier: int, later: int) -> int:
        """What is listed is looked at run by run."""
        return 0

    @cached_property
    def _peers(self) -> list[range]:
        peers: list[range] = []
        for block in self._blocks:
            peers += [range(len(peers), len(peers) + len(block))] * len(block)
        return peers

    @cached_property
    def _of_invocation(self) -> dict[Invocation, list[int]]:
        found: dict[Invocation, list[int]] = {}
        for number, executed in enumerate(self._runs):
            found.setdefault(executed.member.invocation, []).append(number)
        return found

    @cached_property
    def _of_team(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number, executed in enumerate(self._runs):
            for team in set(executed.member.program.teams):
                found.setdefault(team, []).append(number)
        return found
