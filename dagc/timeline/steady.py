"""The steady-state interval of a phase that follows itself.

Repeats decode steps until all that the next step depends on (lanes, streams, messages under way) has shifted by one
constant against the state `period` steps ago: from there on every step repeats exactly (F(x + c) = F(x) + c), and
the interval is that constant over the period. Stages of unequal speed may need a period longer than one.

Where ranks never meet (data-parallel attention without experts, uneven load) each class of ranks settles at a pace
of its own and no constant appears. Then, after `SAME_PACE` steps in which each component kept its pace, the interval
is that of the slowest. If even that does not come within `MOST_STEPS`, it is the mean over the second half of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.timeline.components import constant_shift
from dagc.timeline.follow import Follow
from dagc.timeline.order import periods_of_first_step
from dagc.timeline.ran import Ran
from dagc.timeline.replay import Replay
from dagc.timeline.times import Time, latest

MOST_STEPS = 64
"""Steps after which no exact interval is waited for."""

LONGEST_PERIOD = 16
"""Longest period, in steps, that is recognised."""

SAME_PACE = 4
"""Equal consecutive shifts of every component after which each class of ranks counts as settled."""


SHOWN = 2
"""Periods after the first step that are kept to be looked at; no fewer ever run."""


@dataclass(frozen=True, slots=True)
class Steady:
    """`interval` in picoseconds, rounded; `window` holds what ran in the last two periods, the older one first.

    `soonest` are the periods after the first step, the first `SHOWN` of them.
    """

    interval: int
    window: tuple[Ran, ...]
    soonest: tuple[Ran, ...] = ()


def settle(replay: Replay | Follow, graph: PhaseGraph) -> Steady:
    """Go on from the state after the first step until the interval is known."""
    executor = replay.executor
    states = [executor.pending()]
    window: list[Ran] = []
    soonest: list[Ran] = []
    first = periods_of_first_step(graph)
    for period in range(first, first + MOST_STEPS):
        done = replay.period(period)
        executor.finish(period)
        states.append(executor.pending())
        window = [*window[-1:], done]
        soonest += [done] if period < first + SHOWN else []
        interval = _interval(states)
        if interval is not None and len(window) > 1:
            return Steady(interval, tuple(window), tuple(soonest))
    half = len(states) // 2
    return Steady(
        round((_last(states[-1]) - _last(states[half])) / (len(states) - 1 - half)), tuple(window), tuple(soonest)
    )


def _interval(states: list[list[Time]]) -> int | None:
    for period in range(1, min(LONGEST_PERIOD, len(states) - 1) + 1):
        shift = constant_shift(states[-1 - period], states[-1])
        if shift is not None:
            return round(shift / period)
    return _slowest_class(states)


def _slowest_class(states: list[list[Time]]) -> int | None:
    """The largest pace, if every component has kept its own for `SAME_PACE` steps."""
    recent = states[-1 - SAME_PACE :]
    if len(recent) <= SAME_PACE or len({len(state) for state in recent}) > 1:
        return None
    pairs = list(pairwise(recent))
    paces = [[new - old for old, new in zip(before, after, strict=True)] for before, after in pairs]
    kept = all(bool(np.all(a == b)) for pace in paces[1:] for a, b in zip(paces[0], pace, strict=True))
    return max(latest(pace) for pace in paces[-1]) if kept else None


def _last(state: list[Time]) -> int:
    return max(latest(time) for time in state)
