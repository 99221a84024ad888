"""Runs one copy of a template: the one place where times come about.

Turns the times of lanes and streams, and the messages that came in, into the start of each step and the end of it. A
step starts when its lane and all that it waits for are ready; the members of a group start together. A receive starts
no earlier than its send, and ends no earlier: it starts at max(own readiness, start of the send, end of the send - own
duration), so an end is always start + duration.

Pure: the same copy can be run again at any time, so its starts need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple, cast

from dagc.timeline.steps import Step, Steps
from dagc.timeline.times import Time, later, latest

Message = tuple[Time, Time]
"""Start and end of the other end."""


class Entry(NamedTuple):
    """All that a copy depends on: lanes (numbered as in its template), streams, and messages by step."""

    lanes: tuple[Time, ...]
    streams: tuple[Time, ...]
    messages: Mapping[int, Message]


class Times(NamedTuple):
    """Times of one copy: `starts` by step, `values` as in `Steps`."""

    starts: list[Time]
    values: list[Time]


def advance(steps: Steps, copy: int, entry: Entry) -> Times:
    """The times of one copy; `copy` is the row of its durations."""
    values = [*entry.lanes, *entry.streams]
    if steps.uniform:
        met = [time for message in entry.messages.values() for time in message] if entry.messages else ()
        if {*map(type, values), *map(type, met)} == {int}:
            return _numbers(steps, copy, entry.messages, cast("list[int]", values))
    return _vectors(steps, copy, entry.messages, values)


def _numbers(steps: Steps, copy: int, messages: Mapping[int, Message], values: list[int]) -> Times:
    starts: list[int] = []
    inputs = steps.inputs
    for number, step in enumerate(steps.steps):
        waits = step.order
        start = values[waits[0]]
        for value in waits[1:]:
            if values[value] > start:
                start = values[value]
        length = cast("int", step.rows[copy if len(step.rows) > 1 else 0])
        for link in step.links:
            start = max(start, starts[link], values[inputs + link] - length)
        if number in messages:
            begun, done = cast("tuple[int, int]", messages[number])
            start = max(start, begun, done - length)
        starts.append(start)
        values.append(start + length)
    return Times(cast("list[Time]", starts), cast("list[Time]", values))


def _vectors(steps: Steps, copy: int, messages: Mapping[int, Message], values: list[Time]) -> Times:
    starts: list[Time] = []
    inputs = steps.inputs
    for number, step in enumerate(steps.steps):
        waits = _across(step, values) if step.cross else [values[value] for value in step.order]
        start = waits[0] if len(waits) == 1 else reduce(later, waits)
        row = step.rows[copy if len(step.rows) > 1 else 0]
        for link in step.links:
            start = later(start, later(latest(starts[link]), latest(values[inputs + link]) - row))
        if number in messages:
            begun, done = _fit(messages[number], start, row)
            start = later(start, later(begun, done - row))
        if step.group is not None and not isinstance(start, int):
            start = step.group.latest(start)
        starts.append(start)
        values.append(start + row)
    return Times(starts, values)


def _across(step: Step, values: Sequence[Time]) -> list[Time]:
    """When all that a step waits for is there, of its own team rank by rank, of another until its last rank."""
    return [latest(values[value]) if value in step.cross else values[value] for value in step.order]


def _fit(message: Message, start: Time, row: Time) -> Message:
    """A message rank by rank; where the two teams differ in width, until its last rank."""
    widths = {len(time) for time in (*message, start, row) if not isinstance(time, int)}
    return message if len(widths) < 2 else (latest(message[0]), latest(message[1]))
