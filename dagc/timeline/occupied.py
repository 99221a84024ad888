"""How long the lanes of a phase are at work in one step, whenever that is.

Every copy of every segment runs once for each micro-batch of its size, so this is a sum over segments and asks for no
times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.graph.graph import PhaseGraph
from dagc.timeline.form import phase_lane
from dagc.timeline.tasks import Occupied, Tasks
from dagc.timeline.times import Time, at


def occupied(graph: PhaseGraph, tasks: Sequence[Tasks]) -> list[Time]:
    """Occupied time in one step, by `2 · team + lane`."""
    found: list[Time] = [0] * (2 * len(graph.teams))
    for number, times, (each, whole) in _lanes(graph, [one.occupied for one in tasks]):
        found[number] = found[number] + (times[0] * each + times[1] * whole)
    return found


def memory_bound(graph: PhaseGraph, tasks: Sequence[Tasks], team: int, rank: int) -> int:
    """The part of a compute lane's time in one step, on one rank, in which the memory binds."""
    lanes = _lanes(graph, [one.memory_bound for one in tasks])
    return sum(
        times[0] * at(each, rank) + times[1] * at(whole, rank)
        for number, times, (each, whole) in lanes
        if number == 2 * team
    )


def _lanes(
    graph: PhaseGraph, templates: Sequence[Occupied]
) -> Iterator[tuple[int, tuple[int, int], tuple[Time, Time]]]:
    """Each lane of each segment, how often its copies and all of them together run, and how long these take."""
    uses = graph.uses
    for size, program, _, segment in graph.segments():
        for lane, time in templates[segment.template].items():
            yield phase_lane(program.teams, lane), (uses[size] * segment.count, uses[size]), time
