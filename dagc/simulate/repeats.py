"""A closed loop whose requests keep the places in which they began, begun several times.

Where outputs are of one length and nothing brings requests together, each follows the one before it for good: which of
them meet in a step is settled at the start. However long it is, one run shows one draw of these places, and its
sections are alike though those of another run differ. So each section begins again, with places of its own: in one
simulation, so far apart in time that the one before it has ended, and with the time between them left out afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dagc.plan.workload import Workload
from dagc.simulate.kernel import Simulated
from dagc.simulate.requests import PICOSECONDS, Requests, Times, draw_requests

_UNDER_WAY = 3
"""The stream of random numbers behind those of arrivals, prompts and outputs."""

APART = 10**5 * PICOSECONDS
"""From one beginning to the next one, at most: if a repeat takes longer, the next one begins while it runs."""

_ALL = 1 << 62
"""Time of all beginnings, at most."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Requests of a closed loop that begins `begins` times, at these places, and the sections that are counted."""

    requests: Requests
    begins: tuple[int, ...]
    sections: tuple[tuple[int, int], ...]


def draw_repeats(workload: Workload, sizes: tuple[int, ...], warmup: int, behind: int) -> Repeats:
    """Sections of these sizes, each behind so many requests that warm up, and before so many that keep the load up.

    Each of them follows those that it finds in flight when it begins, as many as the limit of the loop. Of the output
    of each of these a part is left, any as likely, as in the steady state of requests that start independently.
    """
    held = workload.concurrency or 0
    drawn = draw_requests(workload, len(sizes) * (held + warmup + behind) + sum(sizes))
    output, arrival = drawn.output.copy(), drawn.arrival.copy()
    apart = min(APART, _ALL // len(sizes))
    begins, sections, at = list[int](), list[tuple[int, int]](), 0
    for number, size in enumerate(sizes):
        first = at + held + warmup
        left = np.random.RandomState([_UNDER_WAY, workload.arrival_seed, number]).random_sample(held)
        output[at : at + held] = 1 + np.floor(left * output[at : at + held])
        begins.append(at)
        sections.append((first, first + size))
        at = first + size + behind
        arrival[begins[-1] : at] = number * apart
    return Repeats(replace(drawn, output=output, arrival=arrival), tuple(begins), tuple(sections))


def closed_up(repeats: Repeats, simulated: Simulated) -> tuple[Requests, Simulated]:
    """The same with each repeat right behind the end of the one before it."""
    requests, begins = repeats.requests, [*repeats.begins, len(repeats.requests)]
    shift = np.zeros(len(requests), dtype=np.int64)
    begun: Times = requests.arrival[list(repeats.begins)]
    idle = np.zeros(len(begun), dtype=np.int64)
    for number in range(1, len(begun)):
        end = int(simulated.last[begins[number - 1] : begins[number]].max())
        idle[number] = idle[number - 1] + max(0, int(begun[number]) - end)
        shift[begins[number] : begins[number + 1]] = idle[number]
    runs = simulated.runs.copy()
    runs[:, :2] -= idle[np.searchsorted(begun, runs[:, 0], side="right") - 1][:, None]
    names = ("issued", "entered", "admitted", "first", "last")
    moved = {name: getattr(simulated, name) - shift for name in names}
    return replace(requests, arrival=requests.arrival - shift), replace(simulated, **moved, runs=runs)
