"""Slack: how much later each operator could start without moving the end of the phase.

The latest times of a graph are the earliest times of the graph reversed, counted back from the end, so the same loop
runs once more over reversed templates, from the last issue to the first. Only step 0 counts: what follows it in a
decode is not part of the end that must not move.
"""

from __future__ import annotations

import numpy as np

from dagc.schedule.program import COUNT, COUNTS, OFFSET, POSITION, SIZE, STAGE, TEMPLATE, Int64, laid_out
from dagc.schedule.recording import Recording

MOST_TIMES = 4 << 20
"""Times that are compared at once."""


def minimum_slack(first: Recording, counted: int) -> dict[tuple[int, int, int], tuple[int, ...]]:
    """Least slack of each node in picoseconds by (size, stage, position), over copies, micro-batches and ranks.

    `counted` are the issues up to the last group that step 0 is in.
    """
    if not first.ended:
        return {}
    horizon = _horizon(first, counted)
    latest = _reversed(first, counted, horizon - first.ended.makespan)
    table = first.table
    issues = np.flatnonzero(table.column(COUNTS)[:counted])
    keys = table.issues[issues][:, (SIZE, STAGE, POSITION, OFFSET, COUNT)]
    strides = np.stack([table.row_stride[issues], latest.table.row_stride[issues]], axis=1)
    slack: dict[tuple[int, int, int], Int64] = {}
    for places in _groups(np.concatenate([keys, strides], axis=1, dtype=np.int64)):
        alike = issues[places]
        size, stage, position = keys[places[0], :3].tolist()
        template = first.templates[int(table.issues[alike[0], TEMPLATE])]
        most = max(
            1, MOST_TIMES // max(1, int(table.issues[alike[0], COUNT]) * len(template.costs) * first.program.ranks)
        )
        for begin in range(0, alike.size, most):
            minimum = _minimum(first, latest, alike[begin : begin + most], horizon)
            known = slack.setdefault((size, stage, position), minimum)
            slack[size, stage, position] = np.minimum(known, minimum)
    return {place: tuple(values.tolist()) for place, values in sorted(slack.items())}


def _groups(rows: Int64) -> list[Int64]:
    """The numbers of the rows that are equal, ascending, group by group."""
    if not len(rows):
        return []
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    return np.split(order, np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1)) + 1)


def _horizon(first: Recording, counted: int) -> int:
    """When the last of these issues is done, those of step 1 included."""
    table = first.table
    if table.column(COUNTS)[:counted].all():
        return first.ended.makespan if first.ended else 0
    issues = table.issues[:counted].copy()
    issues[:, COUNTS] = 1
    ended = Recording(first.program, first.templates, laid_out(issues, first.program.step_counts)).ended
    return ended.makespan if ended else 0


def _reversed(first: Recording, counted: int, floor: int) -> Recording:
    """The pass over the graph reversed: copies from the last, times back from the horizon."""
    templates = [one.reversed for one in first.templates]
    table = laid_out(first.table.issues[:counted], np.array([len(one.steps) for one in templates], dtype=np.int64))
    return Recording(first.program, templates, table, is_reversed=True, floor=floor).keep()


def _minimum(first: Recording, latest: Recording, issues: Int64, horizon: int) -> Int64:
    """By node: the latest start less the start. The reversed node starts where the node ends at the latest."""
    columns = first.table.issues[issues[0]]
    timed, back = first.templates[int(columns[TEMPLATE])], latest.templates[int(columns[TEMPLATE])]
    rows = slice(int(columns[OFFSET]), int(columns[OFFSET] + columns[COUNT]))
    teams = first.program.graph.programs[int(columns[SIZE])][int(columns[STAGE])].teams
    widths = [int(first.program.widths[2 * teams[node.team]]) for node in timed.template.nodes]
    copies = range(int(columns[COUNT]))
    sums = first.steps_of(issues, copies)[:, :, timed.step_of] + latest.steps_of(issues, copies)[:, :, back.step_of]
    found: list[int] = []
    for node, width in enumerate(widths):
        inside = timed.offset(node, rows) + back.offset(node, rows) + timed.duration(node, rows)
        taken = sums[:, :, node, :width] + inside
        found.append(horizon - int(taken.max()))
    return np.array(found, dtype=np.int64)
