"""The invariants of a timeline, for which a violation is a bug of ours.

Checks that no two slots overlap on a lane (V101), that the makespan lies between the longest node and the sum of all
(V102), and that the critical path goes from 0 to the makespan without a gap (V103). Overlaps are looked for in the
first copies of the last run of each template, gaps in the last steps of the path, so the work does not grow
with the number of slots; every start is compared with an independent schedule in the property tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.graph.priced import Picoseconds
from dagc.ops.message import Receive
from dagc.schedule.path import PathSlot
from dagc.schedule.timeline import Run, Timeline

OVERLAP = Code("V101", "slots-overlap")
MAKESPAN = Code("V102", "makespan-out-of-bounds")
PATH = Code("V103", "critical-path-broken")

_COPIES = 2
_SLOTS = 32


def verify(timeline: Timeline) -> tuple[Diagnostic, ...]:
    """What is wrong with a timeline; empty for a right one. One diagnostic for each kind of violation."""
    name = f"{timeline.priced.graph.phase} of {timeline.priced.graph.service}"
    found = ((OVERLAP, next(_overlaps(timeline), "")), (MAKESPAN, _makespan(timeline)), (PATH, _path(timeline)))
    return tuple(code.at(None, f"timeline of {name}: {problem}") for code, problem in found if problem)


def _overlaps(timeline: Timeline) -> Iterator[str]:
    """Slots that start before the one before them on their lane has ended, in a copy and on to the next."""
    graph = timeline.priced.graph
    # Behind the last run of each template lies all that could have put it out of order.
    for run in {run.template: run for run in timeline.runs}.values():
        teams = graph.programs[run.size][run.stage].teams
        ends: dict[tuple[int, str], Picoseconds] = {}
        copies = range(min(run.count, _COPIES))
        starts = run.starts(copies)
        costs = timeline.priced.costs[run.template]
        for copy in copies:
            for number, (node, cost) in enumerate(zip(graph.templates[run.template].nodes, costs, strict=True)):
                width = graph.teams[teams[node.team]].width
                start, lane = starts[copy, number, :width], (node.team, node.op.lane)
                if lane in ends and (start < ends[lane]).any():
                    yield f"`{node.key}`, copy {copy}, stage {run.stage}, starts before its {node.op.lane} lane is free"
                duration = cost.duration
                ends[lane] = start + (duration[run.offset + copy] if duration.ndim > 1 else duration)


def _makespan(timeline: Timeline) -> str:
    """Empty when max(node) ≤ makespan ≤ Σ node, each on its slowest rank.

    The longest is of step 0; the sum is of all that ran until step 0 was done, some of step 1 on a shared pool.
    """
    slowest = [[cost.longest for cost in costs] for costs in timeline.priced.costs]
    templates = {run.template for run in timeline.runs if run.step == 0}
    longest = max((max(slowest[template], default=0) for template in templates), default=0)
    sums = [sum(costs) for costs in slowest]
    whole = sum([run.count * sums[run.template] for run in timeline.runs])
    if longest <= timeline.makespan <= whole:
        return ""
    return f"makespan {timeline.makespan} ps is not between the longest node ({longest}) and the sum of all ({whole})"


def _path(timeline: Timeline) -> str:
    """Empty when the path starts at 0, ends at the makespan and each slot begins where the one before lets it."""
    path = timeline.path
    if not len(path):
        return ""
    begin, end = path[0].start, path[-1].end
    if begin != 0 or end != timeline.makespan:
        return f"the path runs from {begin} to {end} ps, the phase from 0 to {timeline.makespan}"
    gaps = (after for before, after in pairwise(path[-_SLOTS:]) if not _connected(timeline, before, after))
    gap = next(gaps, None)
    return "" if gap is None else f"the path has a gap before {gap.start} ps"


def _connected(timeline: Timeline, before: PathSlot, after: PathSlot) -> bool:
    """A slot starts when the one before ends; a receive runs beside its send."""
    if before.end == after.start:
        return True
    run: Run = timeline.runs[after.run]
    node = timeline.priced.graph.templates[run.template].nodes[after.node]
    return isinstance(node.op, Receive) and (before.start == after.start or before.end == after.end)
