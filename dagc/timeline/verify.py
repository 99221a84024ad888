"""The invariants of a timeline, for which a violation is a bug of ours.

Checks that no two slots overlap on a lane (V101), that the makespan lies between the longest node and the sum of all
(V102), and that the critical path goes from 0 to the makespan without a gap (V103). Overlaps are looked for in the
first copies of the last run of each template, gaps in the last steps of the path, so the work does not grow
with the number of slots; every start is compared with an independent schedule in the property tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.graph.priced import Picoseconds
from dagc.ops.message import Receive
from dagc.timeline.form import lane_number
from dagc.timeline.path import CriticalPath
from dagc.timeline.timeline import PathSlot, Run, Timeline
from dagc.timeline.times import Time, earliest

OVERLAP = Code("V101", "slots-overlap")
MAKESPAN = Code("V102", "makespan-out-of-bounds")
PATH = Code("V103", "critical-path-broken")

_COPIES = 2
_STEPS = 16


def verify(timeline: Timeline) -> tuple[Diagnostic, ...]:
    """What is wrong with a timeline; empty for a right one. One diagnostic for each kind of violation."""
    name = f"{timeline.priced.graph.phase} of {timeline.priced.graph.service}"
    found = ((OVERLAP, next(_overlaps(timeline), "")), (MAKESPAN, _makespan(timeline)), (PATH, _path(timeline)))
    return tuple(code.at(None, f"timeline of {name}: {problem}") for code, problem in found if problem)


def _overlaps(timeline: Timeline) -> Iterator[str]:
    """Slots that start before the one before them on their lane has ended, in a copy and on to the next."""
    for run in _sample(timeline):
        ends: dict[int, Time] = {}
        for copy in range(min(run.count, _COPIES)):
            yield from _copy_overlaps(timeline, run, copy, ends)


def _sample(timeline: Timeline) -> list[Run]:
    """The last run of each template: behind it lies all that could have put it out of step."""
    return list({run.template: run for run in timeline.runs}.values())


def _copy_overlaps(timeline: Timeline, run: Run, copy: int, ends: dict[int, Time]) -> Iterator[str]:
    costs = timeline.priced.costs[run.template]
    nodes = timeline.priced.graph.templates[run.template].nodes
    starts = run.starts[copy] if copy < len(run.starts) else [run.start(copy, node) for node in range(len(costs))]
    for node, begun, cost in zip(nodes, starts, costs, strict=True):
        start, lane = _time(begun), lane_number(node.team, node.op.lane)
        if lane in ends and earliest(start - ends[lane]) < 0:
            yield f"`{node.key}`, copy {copy}, stage {run.stage}, starts before its {node.op.lane} lane is free"
        duration = cost.duration
        ends[lane] = start + _time(duration[run.offset + copy] if duration.ndim > 1 else duration)


def _time(times: Picoseconds) -> Time:
    """A number where ranks are alike."""
    return times if times.size > 1 else int(times.item())


def _makespan(timeline: Timeline) -> str:
    """Empty when max(node) ≤ makespan ≤ Σ node, each on its slowest rank.

    The longest is of step 0; the sum is of all that ran until step 0 was done, some of step 1 on a shared pool.
    """
    slowest = [[cost.longest for cost in costs] for costs in timeline.priced.costs]
    runs = [run for run in timeline.runs if run.step == 0]
    longest = max((max(slowest[template], default=0) for template in {run.template for run in runs}), default=0)
    sums = [sum(costs) for costs in slowest]
    whole = sum([run.count * sums[run.template] for run in timeline.runs])
    if longest <= timeline.makespan <= whole:
        return ""
    return f"makespan {timeline.makespan} ps is not between the longest node ({longest}) and the sum of all ({whole})"


def _path(timeline: Timeline) -> str:
    """Empty when the path starts at 0, ends at the makespan and each slot begins where the one before lets it."""
    path = timeline.path
    if not isinstance(path, CriticalPath) or not path.begins:
        return ""
    spans = list(islice(path.spans(), _STEPS))
    begin, end = path.begins[0].start, spans[0][1].end
    if begin != 0 or end != timeline.makespan:
        return f"the path runs from {begin} to {end} ps, the phase from 0 to {timeline.makespan}"
    gaps = (later[0] for later, earlier in pairwise(spans) if not _connected(timeline, earlier[1], later[0]))
    gap = next(gaps, None)
    return "" if gap is None else f"the path has a gap before {gap.start} ps"


def _connected(timeline: Timeline, before: PathSlot, after: PathSlot) -> bool:
    """A slot starts when the one before ends; a receive runs beside its send."""
    if before.end == after.start:
        return True
    node = timeline.priced.graph.templates[timeline.runs[after.run].template].nodes[after.node]
    return isinstance(node.op, Receive) and (before.start == after.start or before.end == after.end)
