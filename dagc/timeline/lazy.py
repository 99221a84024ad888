"""Parts of a timeline that are worked out when they are read.

`Runs` are made together when one is asked for. `Starts` gives the starts of a run's explicit copies, copy by copy, and
keeps those of the copy that was read last; `Slack` the slack of all nodes, once. All hold what the executor kept, which
is the state before each explicit copy, and nothing for each slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.timeline.execute import Executed, Kept
from dagc.timeline.history import History
from dagc.timeline.ran import Ran
from dagc.timeline.slack import Place, least_slack
from dagc.timeline.timeline import Run
from dagc.timeline.times import Time


class Starts(Sequence[tuple[Picoseconds, ...]]):
    """`starts[copy][node]` by rank, of the copies that do not follow by one shift of all ranks."""

    def __init__(self, executed: Executed) -> None:
        """Of one executed segment."""
        self._executed = executed
        self._count = executed.explicit if isinstance(executed.shift, int) else executed.count
        self._read: tuple[int, tuple[Picoseconds, ...]] | None = None

    @property
    def alike(self) -> tuple[Kept, int] | None:
        """What runs that start alike have in common, and how much later than that says this one starts on all ranks;
        None where ranks differ in that.
        """
        later = self._executed.later
        return (self._executed.kept, later) if isinstance(later, int) else None

    def of(self, copy: int, node: int) -> Picoseconds:
        """Start of one node in an explicit copy, without those of the others."""
        return _vector(self._executed.start(copy, node))

    def __len__(self) -> int:
        """Explicit copies."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> tuple[Picoseconds, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[Picoseconds, ...], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[Picoseconds, ...] | tuple[tuple[Picoseconds, ...], ...]:
        """Starts of all nodes in a copy."""
        if isinstance(index, slice):
            return tuple(self[copy] for copy in range(*index.indices(len(self))))
        copy = index + len(self) if index < 0 else index
        if not 0 <= copy < len(self):
            raise IndexError(index)
        if self._read is None or self._read[0] != copy:
            self._read = copy, tuple(map(_vector, self._executed.starts(copy)))
        return self._read[1]


class Runs(Sequence[Run]):
    """Executed segments as runs, in order."""

    def __init__(self, *periods: Ran) -> None:
        """Of one phase."""
        self._periods = periods

    @cached_property
    def _runs(self) -> tuple[Run, ...]:
        return tuple(_run(executed) for period in self._periods for executed in period)

    def __len__(self) -> int:
        """Runs."""
        return sum(map(len, self._periods))

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Run, ...]: ...
    def __getitem__(self, index: int | slice) -> Run | tuple[Run, ...]:
        """One of the runs."""
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        """All of them."""
        return iter(self._runs)


def _run(executed: Executed) -> Run:
    member = executed.member
    first = member.segment.first_layer
    return Run(
        step=member.step,
        micro_batch=member.micro_batch,
        size=member.size,
        stage=member.stage,
        position=member.position,
        template=member.segment.template,
        count=executed.count,
        first_layer=None if first is None else first + member.offset,
        starts=Starts(executed),
        shift=executed.shift if isinstance(executed.shift, int) else 0,
        offset=member.offset,
    )


def _vector(time: Time) -> Picoseconds:
    return np.array([time], dtype=np.int64) if isinstance(time, int) else time


class Slack(Mapping[Place, tuple[int, ...]]):
    """Least slack of each node in picoseconds, by segment."""

    def __init__(self, history: History) -> None:
        """Of one phase."""
        self._history = history
        self._known: dict[Place, tuple[int, ...]] | None = None

    def __getitem__(self, place: Place) -> tuple[int, ...]:
        """Slack by node of the segment's template."""
        return self._slack()[place]

    def __iter__(self) -> Iterator[Place]:
        """Segments in order."""
        return iter(self._slack())

    def __len__(self) -> int:
        """Segments."""
        return len(self._slack())

    def _slack(self) -> dict[Place, tuple[int, ...]]:
        if self._known is None:
            self._known = least_slack(self._history)
        return self._known
