"""Everything that a trace holds, in the order in which it is written, before it takes a format.

Turns timelines and a choice of ranks into processes with their threads, then tables of slices and counters. Both
formats are written from these parts, so they hold the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.counters import Counter, counters
from dagc.export.trace.excerpt import Excerpt
from dagc.export.trace.invocations import invocations, micro_batch_slices
from dagc.export.trace.nesting import nested
from dagc.export.trace.path_slices import path_slices, path_threads, share_slices
from dagc.export.trace.slice_table import SliceLabel, SliceLabels, SliceTable, block
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import LANES, PATH_PROCESS, PhaseTracks, TeamTracks, Traced, tracks
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
