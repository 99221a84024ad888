"""A priced phase becomes a timeline: when everything runs, and how fast a phase that repeats goes.

Runs the first step (all of a prefill) and records its times; a decode step is then repeated until all that the next
step depends on has shifted by one constant.

Assumes a verified graph and durations that are equal within each group of a collective. It prices nothing.
"""

from __future__ import annotations

from dagc.graph.priced import PricedPhase
from dagc.schedule.program import program_of
from dagc.schedule.recording import WHOLE_BYTES, times_of
from dagc.schedule.shares import UNKNOWN, occupied_time, phase_shares
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline, passes_of


def schedule(
    priced: PricedPhase, cache: TemplateCache | None = None, whole_bytes: int = WHOLE_BYTES, is_kept: bool = True
) -> Timeline:
    """The timeline of one phase. Linear in steps x copies x micro-batches x stages (x ranks where uneven).

    `cache` holds the templates of phases that share costs with this one. A record of more than `whole_bytes` is held in
    parts. Times that are not kept are worked out again when they are read.
    """
    program = program_of(priced, cache or TemplateCache())
    passes = passes_of(program, whole_bytes, is_kept)
    first, path, steady = passes
    busiest = path.busiest
    makespan = first.ended.makespan if first.ended else 0
    interval = steady.interval if steady else makespan
    occupied = occupied_time(program)
    shares = phase_shares(program, busiest, occupied, passes.overlap, interval)
    first.close()
    found = Timeline(priced, makespan, interval, shares, busiest, program, tuple(occupied), whole_bytes)
    if is_kept:
        vars(found).update(first=first, path=path, steady=steady)
    return found


def schedule_times(priced: PricedPhase, cache: TemplateCache) -> Timeline:
    """The timeline of one phase with makespan and interval alone, in half the time: its shares are unknown."""
    program = program_of(priced, cache)
    return Timeline(priced, *times_of(program), UNKNOWN, None, program, ())
