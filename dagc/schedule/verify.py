"""The invariants of a timeline, for which a violation is a bug of ours.

Checks that no two slots overlap on a lane (V101), that the makespan lies between the longest node and the sum of all
(V102), and that the critical path goes from 0 to the makespan without a gap (V103). Overlaps are looked for in the
first copies of the last run of each template, gaps in the last steps of the path, so the work does not grow
with the number of slots; every start is compared with an independent schedule in the property tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.schedule.program import COUNT, COUNTS, LANES, OFFSET, TEMPLATE
from dagc.schedule.structure import LANES as LANE_NAMES
from dagc.schedule.timeline import Timeline, counted

OVERLAP = Code("V101", "slots-overlap")
MAKESPAN = Code("V102", "makespan-out-of-bounds")
PATH = Code("V103", "critical-path-broken")

_COPIES = 2
_PLACES = 16


def verify(timeline: Timeline) -> tuple[Diagnostic, ...]:
    """What is wrong with a timeline; empty for a right one. One diagnostic for each kind of violation."""
    name = f"{timeline.priced.graph.phase} of {timeline.priced.graph.service}"
    found = ((OVERLAP, next(_overlaps(timeline), "")), (MAKESPAN, _makespan(timeline)), (PATH, _path(timeline)))
    return tuple(code.at(None, f"timeline of {name}: {problem}") for code, problem in found if problem)


def _overlaps(timeline: Timeline) -> Iterator[str]:
    """Slots that start before the one before them on their lane has ended, in a copy and on to the next."""
    first, table = timeline.first, timeline.first.table
    # Behind the last issue of each template lies all that could have put it out of order.
    templates: list[int] = table.column(TEMPLATE).tolist()
    last = {template: issue for issue, template in enumerate(templates)}
    for number, issue in last.items():
        columns = table.issues[issue]
        template, copies = first.templates[number], range(min(int(columns[COUNT]), _COPIES))
        starts = first.steps_of(np.array([issue]), copies)[0]
        rows = slice(int(columns[OFFSET]), int(columns[OFFSET]) + len(copies))
        for lane, steps in template.lane_steps:
            width = first.program.widths[first.program.lane_maps[columns[LANES] + lane]]
            begun = starts[:, steps, :width]
            ended = begun + template.durations(steps, rows)[..., :width]
            early = (begun.reshape(-1, width)[1:] < ended.reshape(-1, width)[:-1]).any(axis=1)
            if early.any():
                copy, number = divmod(int(early.argmax()) + 1, len(steps))
                node = template.template.nodes[template.steps[steps[number]].step.nodes[0]]
                yield f"`{node.key}`, copy {copy}, starts before its {LANE_NAMES[lane % 2]} lane is free"


def _makespan(timeline: Timeline) -> str:
    """Empty when max(node) ≤ makespan ≤ Σ node, each on its slowest rank.

    The longest is of step 0; the sum is of all that ran until step 0 was done, some of step 1 on a shared pool.
    """
    table = timeline.first.table
    slowest = [[cost.longest for cost in costs] for costs in timeline.priced.costs]
    templates: set[int] = set(table.column(TEMPLATE)[table.column(COUNTS) > 0].tolist())
    longest = max((max(slowest[template], default=0) for template in templates), default=0)
    sums = np.array([sum(costs) for costs in slowest], dtype=np.int64)
    until = slice(counted(table))
    whole = int((table.column(COUNT)[until] * sums[table.column(TEMPLATE)[until]]).sum())
    if longest <= timeline.makespan <= whole:
        return ""
    return f"makespan {timeline.makespan} ps is not between the longest node ({longest}) and the sum of all ({whole})"


def _path(timeline: Timeline) -> str:
    """Empty when the path starts at 0, ends at the makespan and each place begins where the one before lets it."""
    places = timeline.path.places
    if not places.row.size:
        return ""
    if places.start[-1] != 0 or places.end[0] != timeline.makespan:
        return f"the path runs from {places.start[-1]} to {places.end[0]} ps, the phase from 0 to {timeline.makespan}"
    after, before = slice(0, min(_PLACES, places.row.size - 1)), slice(1, _PLACES + 1)
    apart = np.flatnonzero(places.end[before] != places.start[after])
    if not apart.size:
        return ""
    # A receive runs beside its send.
    beside = (places.start[before] == places.start[after]) | (places.end[before] == places.end[after])
    receives = beside & timeline.path.receives(after)
    gaps = apart[~receives[apart]]
    return f"the path has a gap before {places.start[after][gaps[0]]} ps" if gaps.size else ""
