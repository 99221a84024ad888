"""Runs one copy of a template: the one place where times come about.

Turns the times of lanes and streams, and the messages that came in, into the start of each step and the end of it. A
step starts when its lane and all that it waits for are ready; the members of a group start together. A receive starts
no earlier than its send, and ends no earlier: it starts at max(own readiness, start of the send, end of the send - own
duration), so an end is always start + duration.

A time is a number where no duration of the phase differs between ranks, else a vector (shape (1,) as long as all ranks
of the team are alike). Pure: the same copy can be run again at any time, so its starts need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.timeline.steps import Step, Steps

Time = int | Picoseconds
"""A time of all ranks of a team: a number where all phases' durations are uniform, else by rank."""

Message = tuple[Time, Time]
"""Start and end of the other end."""


class Entry(NamedTuple):
    """All that a copy depends on: lanes (numbered as in its template), streams, and messages by step."""

    lanes: tuple[Time, ...]
    streams: tuple[Time, ...]
    messages: Mapping[int, Message]

    def moved(self, by: int) -> Entry:
        """The same, later."""
        if by == 0:
            return self
        messages = {step: (start + by, end + by) for step, (start, end) in self.messages.items()}
        return Entry(tuple(t + by for t in self.lanes), tuple(t + by for t in self.streams), messages)


class Times(NamedTuple):
    """Times of one copy: `starts` by step, `values` as in `Steps`."""

    starts: list[Time]
    values: list[Time]


def advance(steps: Steps, copy: int, entry: Entry, uniform: bool) -> Times:
    """The times of one copy; `copy` is the row of its durations."""
    if uniform:
        return _numbers(steps, copy, entry)
    return _vectors(steps, copy, entry)


def _numbers(steps: Steps, copy: int, entry: Entry) -> Times:
    values = cast("list[int]", [*entry.lanes, *entry.streams])
    starts: list[int] = []
    inputs = steps.inputs
    for number, step in enumerate(steps.steps):
        waits = step.order
        start = values[waits[0]]
        for value in waits[1:]:
            if values[value] > start:
                start = values[value]
        length = step.lengths[copy if len(step.lengths) > 1 else 0]
        for link in step.links:
            start = max(start, starts[link], values[inputs + link] - length)
        if number in entry.messages:
            begun, done = cast("tuple[int, int]", entry.messages[number])
            start = max(start, begun, done - length)
        starts.append(start)
        values.append(start + length)
    return Times(cast("list[Time]", starts), cast("list[Time]", values))


def _vectors(steps: Steps, copy: int, entry: Entry) -> Times:
    values = cast("list[Picoseconds]", [*entry.lanes, *entry.streams])
    starts: list[Picoseconds] = []
    inputs = steps.inputs
    for number, step in enumerate(steps.steps):
        start = _ready(step, values)
        row = step.rows[copy if len(step.rows) > 1 else 0]
        for link in step.links:
            start = np.maximum(start, np.maximum(starts[link].max(), values[inputs + link].max() - row))
        if number in entry.messages:
            begun, done = cast("tuple[Picoseconds, Picoseconds]", _fit(entry.messages[number], start, row))
            start = np.maximum(start, np.maximum(begun, done - row))
        if step.group is not None:
            start = step.group.latest(start)
        starts.append(start)
        values.append(start + row)
    return Times(cast("list[Time]", starts), cast("list[Time]", values))


def _ready(step: Step, values: Sequence[Picoseconds]) -> Picoseconds:
    """When a rank's own conditions hold: the maximum of what the step waits for, each distinct vector once."""
    start: Picoseconds | None = None
    for value in step.same:
        time = values[value]
        if start is None:
            start = time
        elif time is not start:
            start = np.maximum(start, time)
    for value in step.cross:
        last = np.maximum.reduce(values[value], keepdims=True)
        start = last if start is None else np.maximum(start, last)
    return np.zeros(1, dtype=np.int64) if start is None else start


def _fit(message: Message, start: Picoseconds, row: Picoseconds) -> Message:
    """A message rank by rank; where the two teams differ in width, until its last rank."""
    widths = {len(t) for t in (*message, start, row) if not isinstance(t, int)} - {1}
    return message if len(widths) < 2 else (barrier(message[0]), barrier(message[1]))


def latest(time: Time) -> int:
    """The time of the last rank."""
    return time if isinstance(time, int) else int(time.max())


def earliest(time: Time) -> int:
    """The time of the first rank."""
    return time if isinstance(time, int) else int(time.min())


def barrier(time: Time) -> Time:
    """When the last rank is ready."""
    return time if isinstance(time, int) else time.max(keepdims=True)


def at(time: Time, rank: int) -> int:
    """The time of one rank."""
    if isinstance(time, int):
        return time
    return int(time[rank]) if time.shape[0] > 1 else int(time[0])


def later(one: Time, other: Time) -> Time:
    """The later of two times, by rank."""
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    return one if one is other else np.maximum(one, other)


def constant_shift(before: Sequence[Time], after: Sequence[Time]) -> int | None:
    """The constant by which every time grew, or None where there is none."""
    if len(before) != len(after) or not after:
        return None
    shift = latest(after[0]) - latest(before[0])
    for old, new in zip(before, after, strict=True):
        grown = new - old
        if grown != shift if isinstance(grown, int) else not bool((grown == shift).all()):
            return None
    return shift
