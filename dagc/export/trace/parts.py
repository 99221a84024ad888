"""Everything that a trace holds, in the order in which it is written, before it takes a format.

Turns timelines and a choice of ranks into processes with their threads, then tables of slices and counters. Both
formats are written from these parts, so they hold the same.

The critical path, and where the time of its busiest stage goes, as two threads of slices for each phase.

Turns the path of a timeline into slices without a gap from the beginning of the phase to its end: each begins where the
one before it ends, so that a message counts once, though its send and its receive run at the same time. The other
thread has what `summary.json` calls the shares of the critical path: of one rank, over the phase, or over one steady
period of decode, which is where that interval is, or after all that is shown where it comes later. In an excerpt,
the path crosses what is left out in one slice for each stage and micro-batch, and the shares are a slice each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.counters import Counter, counters
from dagc.export.trace.excerpt import Excerpt
from dagc.export.trace.invocations import invocations, micro_batch_slices
from dagc.export.trace.nesting import nested
from dagc.export.trace.slice_table import ABSENT, SliceLabel, SliceLabels, SliceTable, block, operator_label
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import (
    LANES,
    PATH_PROCESS,
    PATH_THREADS,
    PhaseTracks,
    TeamTracks,
    Traced,
    stage_name,
    tracks,
)
from dagc.schedule.path import PathSegment
from dagc.schedule.shares import Spending
from dagc.schedule.timeline import Run


@dataclass(frozen=True, slots=True)
class Process:
    """A process and its threads by number; both are sorted by number, and by name where a viewer looks at that."""

    pid: int
    name: str
    threads: tuple[tuple[int, str], ...]


Part = Process | SliceTable | Counter


def trace_parts(
    traced: Traced, ranks: RankSelection | None, labels: SliceLabels, shown: Excerpt | None = None
) -> Iterator[Part]:
    """The parts of a trace, or of what is shown of it; `labels` holds those of a table once that has come.

    The critical path of each phase is there whatever ranks are chosen: it may run on others.
    """
    found = tracks(traced, ranks, shown.ranks) if shown else tracks(traced, ranks)
    phases = [phase for phase in found if phase.is_shown or phase.is_first]
    firsts = [phase for phase in phases if phase.is_first]
    threads = [one for phase in firsts for one in path_threads(phase)]
    note = _first_free(phases)
    if shown:
        threads.append((note, "what is left out"))
    yield Process(PATH_PROCESS, "critical path", tuple(threads))
    for phase in phases:
        yield from (_process(team) for team in phase.teams if team.local.size)
    if shown and firsts:
        end = max(phase.begin + phase.timeline.makespan for phase in firsts) // 1000
        label = labels.number(SliceLabel(shown.text, "note", (("all", "--trace-slices all"),)))
        yield SliceTable(block(np.zeros(1, dtype=np.int64), np.array([end]), pid=PATH_PROCESS, tid=note, label=label))
    arrows = Arrows()
    for phase in phases:
        keeps = shown.keeps(phase) if shown else None
        kept = keeps or _every
        named = kept if shown and not shown.overview else _every
        if phase.is_first:
            stage = ("stage",) if len(phase.timeline.priced.graph.programs[0]) > 1 else ()
            path = path_slices(phase, labels, keeps)
            yield from nested(path, labels, phase.name, ("micro_batch", *stage, "layer"))
            yield from share_slices(phase, labels, summed=shown is not None)
        if phase.is_shown:
            step = ("step",) if phase.timeline.steps > 1 else ()
            busy = invocations(phase, named)
            yield from nested(micro_batch_slices(phase, labels, busy), labels, phase.name, step)
            operators = lane_slices(phase, labels, arrows, kept)
            yield from nested(operators, labels, phase.name, (*step, "micro_batch", "layer"))
            yield from counters(traced, phase, busy, kept)


def _every(_: Run) -> bool:
    return True


def _first_free(phases: Sequence[PhaseTracks]) -> int:
    """The number of a thread after all others."""
    teams = [team for phase in phases for team in phase.teams]
    return max((team.first_thread + 1 + len(LANES) * team.local.size for team in teams), default=1)


def _process(team: TeamTracks) -> Process:
    lanes = {lane: team.threads(lane).tolist() for lane in LANES}
    threads = [
        (lanes[lane][index], f"{title} · {lane.value}" if not team.is_alike else lane.value)
        for index, title in enumerate(team.titles)
        for lane in LANES
    ]
    return Process(team.pid, team.name, ((team.first_thread, "micro-batches"), *threads))


PATH_CATEGORY, SHARE_CATEGORY = "critical path", "share"

_FIGURES = 8
_Row = tuple[int, int, int, int, int, int, int, int]
"""Start, end, label, micro-batch, step, stage, layer, rank."""


def path_threads(phase: PhaseTracks) -> tuple[tuple[int, str], ...]:
    """Number and name of the threads of a phase."""
    first = 1 + PATH_THREADS * phase.number
    where = ""
    whose = phase.timeline.busiest
    if whose:
        team = phase.timeline.priced.graph.teams[whose[0]]
        where = f" · {stage_name(phase, whose[0])}GPU {int(team.ranks[whose[1]])}"
    return (first, phase.name), (first + 1, f"{phase.name} · time breakdown{where}")


def path_slices(
    phase: PhaseTracks, labels: SliceLabels, keeps: Callable[[Run], bool] | None = None
) -> Iterator[SliceTable]:
    """The critical path. `keeps` says which runs are shown operator by operator, where not all are."""
    (thread, _), _ = path_threads(phase)
    timeline = phase.timeline
    graph = timeline.priced.graph
    rows: list[_Row] = []
    known: dict[tuple[int, int], int] = {}
    skipped = SliceLabel("operators left out", PATH_CATEGORY, (("phase", phase.name),))
    left_out = -1 if keeps is None else labels.number(skipped)
    end = 0
    runs = timeline.runs
    for slot in timeline.path.walk(lambda run: keeps is None or keeps(runs[run])):
        start, end = end, max(end, slot.end)
        run = runs[slot.run]
        if start == end:
            continue
        if isinstance(slot, PathSegment):
            _cross(rows, (start, end), left_out, run)
            continue
        place = run.template, slot.node
        node = graph.templates[run.template].nodes[slot.node]
        if place not in known:
            label = operator_label(node, timeline.priced.costs[run.template][slot.node], PATH_CATEGORY)
            known[place] = labels.number(label)
        team = graph.teams[graph.programs[run.size][run.stage].teams[node.team]]
        layer = ABSENT if run.first_layer is None else run.first_layer + slot.copy
        rank = int(team.ranks[slot.rank])
        rows.append((start, end, known[place], run.micro_batch, run.step, run.stage, layer, rank))
    columns = np.array(rows, dtype=np.int64).reshape(-1, _FIGURES).T
    names = ("label", "micro_batch", "step", "stage", "layer", "rank")
    yield from _table(phase.begin + columns[:2], thread, dict(zip(names, columns[2:], strict=True)))


def _cross(rows: list[_Row], times: tuple[int, int], label: int, run: Run) -> None:
    """Cross a run, or the rest of a stage's work for a micro-batch where some of that was crossed before."""
    start, end = times
    if rows and rows[-1][1] == start and rows[-1][2:6] == (label, run.micro_batch, run.step, run.stage):
        start = rows.pop()[0]
    rows.append((start, end, label, run.micro_batch, run.step, run.stage, ABSENT, ABSENT))


def share_slices(phase: PhaseTracks, labels: SliceLabels, summed: bool) -> Iterator[SliceTable]:
    """The time breakdown, stretch by stretch, or `summed`: one slice for each thing that time goes on."""
    _, (thread, _) = path_threads(phase)
    if summed:
        yield from _sums(phase, thread, labels)
        return
    stretches = phase.timeline.breakdown
    if not stretches:
        return
    numbers = [labels.number(_share_label(one.spending)) for one in stretches]
    times = np.array([(one.start, one.end) for one in stretches], dtype=np.int64).T
    end = _end(phase.timeline.shown())
    if stretches[0].start > end:
        times = times - stretches[0].start + end
    yield from _table(phase.begin + times, thread, {"label": np.array(numbers, dtype=np.int64)})


def _sums(phase: PhaseTracks, thread: int, labels: SliceLabels) -> Iterator[SliceTable]:
    timeline = phase.timeline
    if timeline.busiest is None:
        return
    shares = [(kind, getattr(timeline.shares, kind.value)) for kind in Spending]
    numbers = [labels.number(_share_label(kind)) for kind, _ in shares]
    last = len(timeline.priced.graph.micro_batches) - 1
    repeats = timeline.steps > 1
    begin = _end(run for run in timeline.shown() if run.micro_batch == last) if repeats else 0
    edges = np.rint(timeline.interval * np.cumsum([0.0, *(share for _, share in shares)])).astype(np.int64) + begin
    times = np.array([edges[:-1], edges[1:]])
    yield from _table(phase.begin + times, thread, {"label": np.array(numbers, dtype=np.int64)})


def _share_label(spending: Spending) -> SliceLabel:
    return SliceLabel(spending.value, SHARE_CATEGORY, (("bound", spending.value),))


def _end(shown: Iterable[Run]) -> int:
    """When the last step that is shown begins to end: the start of its last run's last copy."""
    return max((int(run.start(run.count - 1, -1).max()) for run in shown), default=0)


def _table(times: np.ndarray, thread: int, columns: dict[str, np.ndarray]) -> Iterator[SliceTable]:
    start, end = times // 1000
    taken = end > start
    if taken.any():
        kept = {name: column[taken] for name, column in columns.items()}
        yield SliceTable(block(start[taken], end[taken], pid=PATH_PROCESS, tid=thread, **kept))
