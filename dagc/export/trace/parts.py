"""Everything that a trace holds, in the order in which it is written, before it takes a format.

Turns timelines and a choice of ranks into processes with their threads, then tables of slices and counters. Both
formats are written from these parts, so they hold the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.counters import Counter, counters
from dagc.export.trace.invocations import micro_batch_slices
from dagc.export.trace.labels import Labels
from dagc.export.trace.path_slices import path_slices, path_threads
from dagc.export.trace.slice_table import SliceTable
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import LANES, PATH_PROCESS, TeamTracks, Traced, tracks


@dataclass(frozen=True, slots=True)
class Process:
    """A process and its threads by number; both are sorted by number, and by name where a viewer looks at that."""

    pid: int
    name: str
    threads: tuple[tuple[int, str], ...]


Part = Process | SliceTable | Counter


def trace_parts(traced: Traced, ranks: RankSelection | None, labels: Labels) -> Iterator[Part]:
    """The parts of a trace; `labels` holds those of a table once that has come.

    The critical path of each phase is there whatever ranks are chosen: it may run on others.
    """
    phases = [phase for phase in tracks(traced, ranks) if phase.is_shown or phase.is_first]
    firsts = [phase for phase in phases if phase.is_first]
    yield Process(PATH_PROCESS, "0 critical path", tuple(one for phase in firsts for one in path_threads(phase)))
    for phase in phases:
        yield from (_process(team) for team in phase.teams if team.local.size)
    arrows = Arrows()
    for phase in phases:
        if phase.is_first:
            yield from path_slices(phase, labels)
        if phase.is_shown:
            yield from micro_batch_slices(phase, labels)
            yield from lane_slices(phase, labels, arrows)
            yield from counters(traced, phase)


def _process(team: TeamTracks) -> Process:
    lanes = {lane: team.threads(lane).tolist() for lane in LANES}
    threads = [
        (lanes[lane][index], f"{title} · {lane.value}") for index, title in enumerate(team.titles) for lane in LANES
    ]
    return Process(team.pid, team.name, ((team.first_thread, "micro-batches"), *threads))
