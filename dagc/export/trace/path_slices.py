"""The critical path, and where the time of its busiest stage goes, as two threads of slices for each phase.

Turns the path of a timeline into slices without a gap from the beginning of the phase to its end: each begins where the
one before it ends, so that a message counts once, though its send and its receive run at the same time. The other
thread has what `summary.json` calls the shares of the critical path: of one rank, over the phase, or over one steady
interval of decode, which stands where that interval is, or after all that is shown where it comes later.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.export.trace.labels import Label, Labels, operator_label
from dagc.export.trace.slice_table import ABSENT, SliceTable, block
from dagc.export.trace.tracks import PATH_PROCESS, PATH_THREADS, PhaseTracks
from dagc.timeline.timeline import Spending, Timeline

PATH_CATEGORY, SPENT_CATEGORY = "critical path", "share"


def path_threads(phase: PhaseTracks) -> tuple[tuple[int, str], ...]:
    """Number and name of the threads of a phase."""
    first = 1 + len(PATH_THREADS) * phase.number
    path, spent = PATH_THREADS
    where = ""
    if phase.timeline.spent:
        team = phase.timeline.priced.graph.teams[phase.timeline.spent[0].team]
        of_pool = "" if team.pool == "main" else f"{team.pool} "
        where = f" · {of_pool}stage {team.stage:02}, rank {int(team.ranks[phase.timeline.spent[0].rank])}"
    name = f"{phase.number + 1} {phase.name}"
    return (first, f"{name} · {path}"), (first + 1, f"{name} · {spent}{where}")


def path_slices(phase: PhaseTracks, labels: Labels) -> Iterator[SliceTable]:
    """Both threads of a phase."""
    (path, _), (spent, _) = path_threads(phase)
    yield from _path(phase, path, labels)
    yield from _spent(phase, spent, labels)


def _path(phase: PhaseTracks, thread: int, labels: Labels) -> Iterator[SliceTable]:
    timeline = phase.timeline
    graph = timeline.priced.graph
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    known: dict[tuple[int, int], int] = {}
    end = 0
    for slot in timeline.path:
        start, end = end, max(end, slot.end)
        run = timeline.runs[slot.run]
        if start == end:
            continue
        place = run.template, slot.node
        node = graph.templates[run.template].nodes[slot.node]
        if place not in known:
            label = operator_label(node, timeline.priced.costs[run.template][slot.node], PATH_CATEGORY)
            known[place] = labels.number(label)
        team = graph.teams[graph.programs[run.size][run.stage].teams[node.team]]
        layer = ABSENT if run.first_layer is None else run.first_layer + slot.copy
        rank = int(team.ranks[slot.rank])
        rows.append((start, end, known[place], run.micro_batch, run.step, layer, rank))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    names = ("label", "micro_batch", "step", "layer", "rank")
    yield from _table(phase.begin + columns[:2], thread, dict(zip(names, columns[2:], strict=True)))


def _spent(phase: PhaseTracks, thread: int, labels: Labels) -> Iterator[SliceTable]:
    stretches = phase.timeline.spent
    if not stretches:
        return
    numbers = [labels.number(_share_label(one.spending)) for one in stretches]
    times = np.array([(one.start, one.end) for one in stretches], dtype=np.int64).T
    end = _end(phase.timeline)
    if stretches[0].start > end:
        times = times - stretches[0].start + end
    yield from _table(phase.begin + times, thread, {"label": np.array(numbers, dtype=np.int64)})


def _share_label(spending: Spending) -> Label:
    return Label(spending.value, SPENT_CATEGORY, (("bound", spending.value),))


def _end(timeline: Timeline) -> int:
    """When the last step that is shown begins to end: the start of its last run's last copy."""
    shown = list(timeline.shown())
    return max((int(run.start(run.count - 1, -1).max()) for run in shown), default=0)


def _table(times: np.ndarray, thread: int, columns: dict[str, np.ndarray]) -> Iterator[SliceTable]:
    start, end = times // 1000
    taken = end > start
    if taken.any():
        kept = {name: column[taken] for name, column in columns.items()}
        yield SliceTable(block(start[taken], end[taken], pid=PATH_PROCESS, tid=thread, **kept))
