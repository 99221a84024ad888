"""How long the lanes of a phase are at work in one step, whenever that is.

Every copy of every segment runs once for each micro-batch of its size, so this is a sum over segments and asks for no
times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.graph.graph import PhaseGraph
from dagc.timeline.form import phase_lane
from dagc.timeline.tasks import Tasks
from dagc.timeline.times import Time, at


def occupied(graph: PhaseGraph, tasks: Sequence[Tasks]) -> list[Time]:
    """Occupied time in one step, by `2 · team + lane`."""
    found: list[Time] = [0] * (2 * len(graph.teams))
    for template, times, teams in _runs(graph):
        for lane, (each, whole) in tasks[template].occupied.items():
            number = phase_lane(teams, lane)
            found[number] = found[number] + (times[0] * each + times[1] * whole)
    return found


def memory_bound(graph: PhaseGraph, tasks: Sequence[Tasks], team: int, rank: int) -> int:
    """The part of a compute lane's time in one step, on one rank, in which the memory binds."""
    return sum(
        times[0] * at(each, rank) + times[1] * at(whole, rank)
        for template, times, teams in _runs(graph)
        if team in teams
        for lane, (each, whole) in tasks[template].memory_bound.items()
        if phase_lane(teams, lane) == 2 * team
    )


def _runs(graph: PhaseGraph) -> Iterator[tuple[int, tuple[int, int], tuple[int, ...]]]:
    """The template of each segment, how often a copy and all copies of it run in a step, and on which teams."""
    uses = graph.uses
    for size, program, _, segment in graph.segments():
        yield segment.template, (uses[size] * segment.count, uses[size]), program.teams
