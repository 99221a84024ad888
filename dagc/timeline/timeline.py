"""The schedule of one phase, as runs.

A run is one segment of one stage for one micro-batch in one step: a template repeated `count` times. The first
copies have explicit times; from the copy on at which the state of all lanes shifts by one constant, the rest
follow by that shift, exactly. All times are integer picoseconds from the start of the phase.

What is as large as the number of slots (starts, the critical path slot by slot, slack) is a sequence or a mapping that
works itself out when it is read. Starts of a copy are found anew each time; of a run only a few copies are held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from dagc.graph.priced import Picoseconds, PricedPhase
from dagc.ops.op import Lane


@dataclass(slots=True, eq=False)
class Run:
    """Start times of one segment: `starts[copy][node]` by rank of the node's team, shape (1,) or (width,).

    Copy c ≥ len(starts) starts `(c - len(starts) + 1) * shift` after the last explicit one. `position` is that of
    the segment in the stage's program; `size` is the micro-batch's size index. Its copies are those of the segment from
    `offset` on: copy c takes row `offset + c` of a duration that differs between copies.
    """

    step: int
    micro_batch: int
    size: int
    stage: int
    position: int
    template: int
    count: int
    first_layer: int | None
    starts: Sequence[tuple[Picoseconds, ...]]
    shift: int
    offset: int = 0

    def start(self, copy: int, node: int) -> Picoseconds:
        """Start of a node in a copy, by rank."""
        last = len(self.starts) - 1
        if copy <= last:
            return self.starts[copy][node]
        return self.starts[last][node] + (copy - last) * self.shift


@dataclass(frozen=True, slots=True)
class PathSlot:
    """One node execution on the critical path: `runs[run]`, its copy, the node, the team's local rank, its times."""

    run: int
    copy: int
    node: int
    rank: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shares:
    """How the busiest stage on the critical path spends the phase, as shares that sum to 1.

    `compute` and `memory`: its compute lane runs a compute-bound or memory-bound node; `communication`: only its
    communication lane is busy; `bubble`: it waits (pipeline fill and drain, slower ranks).
    """

    compute: float
    memory: float
    communication: float
    bubble: float


class Spending(StrEnum):
    """What a rank's time goes on; a field of `Shares` each."""

    COMPUTE = "compute"
    MEMORY = "memory"
    COMMUNICATION = "communication"
    BUBBLE = "bubble"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time that local rank `rank` of a team spends on one thing."""

    team: int
    rank: int
    start: int
    end: int
    spending: Spending


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The schedule of one phase.

    `makespan` is the end of the last node of step 0. `interval` is the steady-state time of a step (decode; equal to
    `makespan` elsewhere). `runs` stand in program order. `slack[(size, stage, position)]` gives, by node of the
    segment's template, the least time by which any of its executions could be later without moving the end.
    `busy[(team, lane)]` is the time that the lane is occupied in step 0, by rank, shape (1,) or (width,). `later` are
    runs that follow `runs`, of some further steps of a phase that repeats. `spent` is what `shares` sum up: stretches
    without a gap, of one rank over the whole phase, or over one steady-state interval of a phase that repeats.
    """

    priced: PricedPhase
    runs: Sequence[Run]
    makespan: int
    interval: int
    path: Sequence[PathSlot]
    shares: Shares
    slack: Mapping[tuple[int, int, int], tuple[int, ...]]
    busy: dict[tuple[int, Lane], Picoseconds]
    later: Sequence[Run] = ()
    spent: Sequence[Stretch] = ()

    @property
    def steps(self) -> int:
        """Steps, from step 0 on, of which all is there."""
        return _steps(self)

    def shown(self) -> Iterator[Run]:
        """The runs of those steps, in order."""
        steps = self.steps
        return (run for run in (*self.runs, *self.later) if run.step < steps)


@lru_cache(maxsize=4)
def _steps(timeline: Timeline) -> int:
    """Kept of the last timelines, because it takes a look at every run."""
    invocations = {(run.step, run.micro_batch, run.stage) for run in (*timeline.runs, *timeline.later)}
    counts = Counter(step for step, _, _ in invocations)
    return sum(count == counts[0] for count in counts.values())
