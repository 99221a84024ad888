"""The invariants of a timeline, for which a violation is a bug of ours.

Checks that no two slots overlap on a lane (V101), that the makespan lies between the longest node and the sum of all
(V102), and that the critical path goes from 0 to the makespan without a gap (V103). Copies are compared with their
neighbours, explicit ones each and the shifted ones once, so the work does not grow with the number of slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.graph.ops import RECEIVE
from dagc.graph.priced import Picoseconds
from dagc.timeline.tasks import lane_number
from dagc.timeline.timeline import PathSlot, Run, Timeline

OVERLAP = Code("V101", "slots-overlap")
MAKESPAN = Code("V102", "makespan-out-of-bounds")
PATH = Code("V103", "critical-path-broken")


def verify(timeline: Timeline) -> tuple[Diagnostic, ...]:
    """What is wrong with a timeline; empty for a right one. One diagnostic for each kind of violation."""
    name = f"{timeline.priced.graph.phase} of {timeline.priced.graph.service}"
    found = ((OVERLAP, next(_overlaps(timeline), "")), (MAKESPAN, _makespan(timeline)), (PATH, _path(timeline)))
    return tuple(code.at(None, f"timeline of {name}: {problem}") for code, problem in found if problem)


def _overlaps(timeline: Timeline) -> Iterator[str]:
    """Slots that start before the one before them on their lane has ended; runs may interleave by copies."""
    ends: dict[int, Picoseconds] = {}
    for runs in _lock_step(timeline):
        copies = max(len(run.starts) for run in runs)
        for copy in range(min(copies + 1, runs[0].count)):
            for run in runs:
                yield from _copy_overlaps(timeline, run, copy, ends)
        for run in runs:
            _move(timeline, run, ends, (runs[0].count - min(copies + 1, runs[0].count)) * run.shift)


def _lock_step(timeline: Timeline) -> Iterator[list[Run]]:
    """Runs that advance copy by copy together: neighbours of different stages that interleave in time."""
    group: list[Run] = []
    for run in timeline.runs:
        if group and not _together(group[-1], run):
            yield group
            group = []
        group.append(run)
    if group:
        yield group


def _together(before: Run, run: Run) -> bool:
    """Whether two neighbours were run in lock step: one repetition, one wavefront, ascending stages."""
    same = (before.count, before.shift, len(before.starts)) == (run.count, run.shift, len(run.starts))
    return same and run.stage > before.stage and run.micro_batch != before.micro_batch


def _copy_overlaps(timeline: Timeline, run: Run, copy: int, ends: dict[int, Picoseconds]) -> Iterator[str]:
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    for index, node in enumerate(graph.templates[run.template].nodes):
        lane = lane_number(teams[node.team], node.op.lane)
        start = run.start(copy, index)
        before = ends.get(lane)
        if before is not None and bool(np.any(start < before)):
            yield f"`{node.key}`, copy {copy}, stage {run.stage}, starts before its {node.op.lane} lane is free"
        ends[lane] = start + timeline.priced.costs[run.template][index].duration


def _move(timeline: Timeline, run: Run, ends: dict[int, Picoseconds], by: int) -> None:
    """Advance the ends of a run's lanes over the copies that were not looked at."""
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    lanes = {lane_number(teams[node.team], node.op.lane) for node in graph.templates[run.template].nodes}
    for lane in lanes if by else ():
        ends[lane] = _latest_end(timeline, run, lane)


def _latest_end(timeline: Timeline, run: Run, lane: int) -> Picoseconds:
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    nodes = graph.templates[run.template].nodes
    last = max(i for i, node in enumerate(nodes) if lane_number(teams[node.team], node.op.lane) == lane)
    return run.start(run.count - 1, last) + timeline.priced.costs[run.template][last].duration


def _makespan(timeline: Timeline) -> str:
    """Empty when max(node) ≤ makespan ≤ Σ node, each on its slowest rank.

    The longest is of step 0; the sum is of all that ran until step 0 was done, some of step 1 on a shared pool.
    """
    slowest = [[int(np.max(cost.duration)) for cost in costs] for costs in timeline.priced.costs]
    runs = [run for run in timeline.runs if run.step == 0]
    longest = max((max(slowest[run.template], default=0) for run in runs), default=0)
    whole = sum(run.count * sum(slowest[run.template]) for run in timeline.runs)
    if longest <= timeline.makespan <= whole:
        return ""
    return f"makespan {timeline.makespan} ps is not between the longest node ({longest}) and the sum of all ({whole})"


def _path(timeline: Timeline) -> str:
    """Empty when the path starts at 0, ends at the makespan and each slot begins where the one before lets it."""
    path = timeline.path
    if not path:
        return ""
    if path[0].start != 0 or path[-1].end != timeline.makespan:
        return f"the path runs from {path[0].start} to {path[-1].end} ps, the phase from 0 to {timeline.makespan}"
    gaps = (after for before, after in pairwise(path) if not _connected(timeline, before, after))
    gap = next(gaps, None)
    return "" if gap is None else f"the path has a gap before {gap.start} ps"


def _connected(timeline: Timeline, before: PathSlot, after: PathSlot) -> bool:
    """A slot starts when the one before ends; a receive runs beside its send."""
    if before.end == after.start:
        return True
    node = timeline.priced.graph.templates[timeline.runs[after.run].template].nodes[after.node]
    return node.op is RECEIVE and (before.start == after.start or before.end == after.end)
