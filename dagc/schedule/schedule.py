"""A priced phase becomes a timeline: when everything runs, and how fast a phase that repeats goes.

Runs the first step (all of a prefill) and records its times; a decode step is then repeated until all that the next
step depends on has shifted by one constant.

Assumes a verified graph and durations that are equal within each group of a collective. It prices nothing.
"""

from __future__ import annotations

from dagc.graph.priced import PricedPhase
from dagc.schedule.order import repeats
from dagc.schedule.path import CriticalPath
from dagc.schedule.program import program_of
from dagc.schedule.recording import WHOLE_BYTES, Recording
from dagc.schedule.shares import occupied_time, overlap_of, phase_shares
from dagc.schedule.steady import settle, window_of
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline


def schedule(
    priced: PricedPhase, cache: TemplateCache | None = None, whole_bytes: int = WHOLE_BYTES, is_kept: bool = True
) -> Timeline:
    """The timeline of one phase. Linear in steps x copies x micro-batches x stages (x ranks where uneven).

    `cache` holds the templates of phases that share costs with this one. A record of more than `whole_bytes` is held in
    parts. Times that are not kept are worked out again when they are read.
    """
    program = program_of(priced, cache or TemplateCache())
    is_repeated = repeats(priced.graph)
    repeated = program.next_step if is_repeated else None
    first = Recording(
        program,
        program.templates,
        program.first_step,
        repeated=repeated,
        is_scratch=not is_kept,
        whole_bytes=whole_bytes,
    )
    makespan = first.ended.makespan if first.ended else 0
    busiest = CriticalPath(first).busiest
    steady = settle(first) if is_repeated else None
    interval = steady.interval if steady else makespan

    def overlap(team: int, rank: int) -> int:
        if first.is_whole:
            return first.executor.overlap(repeated or first.table, 2 if steady else 1, team, rank)
        return overlap_of(window_of(first, steady), team, rank)

    occupied = occupied_time(program)
    shares = phase_shares(program, busiest, occupied, overlap, interval)
    found = Timeline(priced, makespan, interval, shares, busiest, program, tuple(occupied), whole_bytes)
    if is_kept:
        vars(found).update(first=first, steady=steady)
    return found
