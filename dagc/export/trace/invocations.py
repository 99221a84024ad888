"""When each stage is at work on which micro-batch: a thread of its own, and the time for which activations are held.

Turns runs into stretches of the first shown rank of a team's compute lane, each of one micro-batch in one step for one
stage; stretches that follow each other are one. A pool that serves several stages goes from one to the next with every
layer, and so do its stretches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dagc.export.times import at_rank, duration_of
from dagc.export.titles import team_of
from dagc.export.trace.slice_table import SliceLabel, SliceLabels, SliceTable, block
from dagc.export.trace.tracks import PhaseTracks
from dagc.ops.op import Lane
from dagc.schedule.timeline import Run


class Invocation(NamedTuple):
    """A team's work for one micro-batch, in picoseconds from the beginning of the phase."""

    start: int
    end: int
    step: int
    micro_batch: int
    stage: int
    size: int


def invocations(phase: PhaseTracks, keeps: Callable[[Run], bool]) -> list[list[Invocation]]:
    """Stretches of the first shown rank of each team, in the order of time, of the runs to keep.

    A pool that serves several stages goes from one to the next with every layer, and each time is a stretch.
    """
    graph = phase.timeline.priced.graph
    served = Counter(team for program in graph.programs[0] for team in set(program.teams))
    found: list[list[Invocation]] = [[] for _ in graph.teams]
    for run in filter(keeps, phase.timeline.shown()):
        for team in set(graph.programs[run.size][run.stage].teams):
            if phase.teams[team].local.size:
                found[team] += _of_run(phase, run, team, by_copy=served[team] > 1)
    return [_joined(sorted(one)) for one in found]


def micro_batch_slices(phase: PhaseTracks, labels: SliceLabels, busy: list[list[Invocation]]) -> Iterator[SliceTable]:
    """The thread of micro-batches of each team."""
    for team, found in zip(phase.teams, busy, strict=True):
        if not found:
            continue
        several = len({one.stage for one in found}) > 1
        numbers = [labels.number(_label(phase, one, several)) for one in found]
        times = (phase.begin + np.array([one[:2] for one in found], dtype=np.int64)) // 1000
        taken = times[:, 1] > times[:, 0]
        columns = {
            name: np.array([getattr(one, name) for one in found], dtype=np.int64)[taken]
            for name in ("micro_batch", "step", "stage")
        }
        columns["label"] = np.array(numbers)[taken]
        yield SliceTable(block(times[taken, 0], times[taken, 1], pid=team.pid, tid=team.first_thread, **columns))


def _label(phase: PhaseTracks, one: Invocation, several: bool) -> SliceLabel:
    stage = f" · stage {one.stage}" if several else ""
    return SliceLabel(f"micro-batch {one.micro_batch}{stage}", "micro-batch", (("phase", phase.name),))


def _of_run(phase: PhaseTracks, run: Run, team: int, by_copy: bool) -> Iterator[Invocation]:
    timeline, rank = phase.timeline, int(phase.teams[team].local[0])
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    own = [
        index
        for index, node in enumerate(graph.templates[run.template].nodes)
        if team_of(teams, node) == team and node.op.lane is Lane.COMPUTE and node.fused_into is None
    ]
    if not own:
        return
    for first, last in ((copy, copy) for copy in range(run.count)) if by_copy else ((0, run.count - 1),):
        start = at_rank(run.start(first, own[0]), rank)
        end = at_rank(run.start(last, own[-1]), rank) + at_rank(duration_of(timeline, run, last, own[-1]), rank)
        yield Invocation(start, end, run.step, run.micro_batch, run.stage, run.size)


def _joined(found: list[Invocation]) -> list[Invocation]:
    joined: list[Invocation] = []
    for one in found:
        if joined and joined[-1][2:] == one[2:]:
            joined[-1] = one._replace(start=joined[-1].start, end=max(joined[-1].end, one.end))
        else:
            joined.append(one)
    return joined
