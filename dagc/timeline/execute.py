"""Runs blocks of tasks: the one place where times come about.

Turns blocks, in order, into start times. The state is a ready time for each lane of each team and for each stream
of each running invocation; a time is a number where no duration of the phase differs between ranks, else a vector
(shape (1,) as long as all ranks of the team are alike). A task starts when its lane and all that it waits for are
ready; the members of a group start together. A receive starts no earlier than its send, and ends no earlier: it
starts at max(own readiness, start of the send, end of the send - own duration), so an end is always start + duration.

A copy maps the state to the next one by maxima and sums (a max-plus map F, with F(x + c) = F(x) + c). So when a copy
has moved all that the block touches by one constant, all further copies do the same and are not run.

Assumes tasks in topological order and equal durations within a group. It does not know what is before or after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.timeline.order import Block, Member
from dagc.timeline.tasks import Mail, Task, Tasks, group_maximum, is_uniform

Time = int | Picoseconds
"""A time of all ranks of a team: a number where all phases' durations are uniform, else by rank."""

MailKey = tuple[int, int, int, int]
"""A message between invocations: (step of the send, micro-batch, stage of the send, number among its messages)."""


@dataclass(slots=True, eq=False)
class Executed:
    """One member of a block with its times: `starts[copy][node]`, and from the last one on by `shift`.

    `count` is the block's; copies are counted from `member.offset` of the segment on. `mail_base` is the number of
    messages that the invocation has (sent, received) before the first copy.
    """

    member: Member
    count: int
    starts: list[list[Time]]
    mail_base: tuple[int, int]
    shift: int = 0

    def start(self, copy: int, node: int) -> Time:
        """Start of a node in a copy counted from the member's offset."""
        last = len(self.starts) - 1
        return self.starts[min(copy, last)][node] + max(0, copy - last) * self.shift


@dataclass(slots=True, eq=False)
class Executor:
    """The state of one phase. `templates` are forward tasks, or all mirrored."""

    templates: Sequence[Tasks]
    teams: int
    stages: int
    lanes: list[Time] = field(init=False)
    streams: dict[tuple[int, int, int], list[Time]] = field(default_factory=dict[tuple[int, int, int], "list[Time]"])
    mail: dict[MailKey, tuple[Time, Time]] = field(default_factory=dict[MailKey, "tuple[Time, Time]"])
    uniform: bool = field(init=False)
    zero: Time = field(init=False)
    _counts: dict[tuple[int, int, int], tuple[int, int]] = field(
        default_factory=dict[tuple[int, int, int], "tuple[int, int]"]
    )

    def __post_init__(self) -> None:
        """Everything is ready at 0."""
        self.uniform = is_uniform(self.templates)
        self.zero = 0 if self.uniform else np.zeros(1, dtype=np.int64)
        self.lanes = [self.zero] * (2 * self.teams)

    def run(self, block: Block) -> list[Executed]:
        """All copies of a block, the explicit ones and the shift of the rest, by member."""
        done = [self._enter(member, block.count) for member in block.members]
        compressible = not any(self.templates[member.segment.template].mails for member in block.members)
        touched = self._touched(block)
        before: list[Time] = []
        for copy in range(block.count):
            for executed in done:
                executed.starts.append(self._copy(executed.member))
            after = self._snapshot(block, touched) if compressible and block.count > 1 else []
            shift = constant_shift(before, after)
            if shift is not None:
                self._leap(block, touched, (block.count - copy - 1) * shift)
                for executed in done:
                    executed.shift = shift
                break
            before = after
        return done

    def floor(self, member: Member, time: int) -> None:
        """Make every lane that a member uses ready no earlier than a time."""
        for lane in self._touched(Block((member,), 1)):
            self.lanes[lane] = _latest(self.lanes[lane], time)

    def finish(self, period: int) -> None:
        """Forget what nothing can ask for after a period: finished invocations and messages that nobody took."""
        if self.stages > 1:
            self.streams.clear()
        self._counts.clear()
        self.mail = {key: times for key, times in self.mail.items() if key[0] >= period - 1}

    def pending(self) -> list[Time]:
        """All that the next period depends on: lanes, streams and messages not yet received."""
        messages = [time for pair in self.mail.values() for time in pair]
        return [*self.lanes, *(time for times in self.streams.values() for time in times), *messages]

    def _enter(self, member: Member, count: int) -> Executed:
        streams = self.templates[member.segment.template].streams
        times = self.streams.get(member.invocation)
        if times is None:
            before = (member.step - 1, member.micro_batch, member.stage)
            times = (self.streams.pop(before, None) if self.stages == 1 else None) or [self.zero]
        padded = [*times, *(times[-1] for _ in range(streams - len(times)))]
        self.streams[member.invocation] = padded
        return Executed(member, count, [], self._counts.get(member.invocation, (0, 0)))

    def _touched(self, block: Block) -> list[int]:
        """Numbers of the lanes that a block's tasks run on."""
        local = [(member, lane) for member in block.members for lane in self.templates[member.segment.template].lanes]
        return sorted({2 * member.program.teams[lane // 2] + lane % 2 for member, lane in local})

    def _snapshot(self, block: Block, touched: list[int]) -> list[Time]:
        times = [self.lanes[lane] for lane in touched]
        for member in block.members:
            outs = self.templates[member.segment.template].outs
            times += [time for time, out in zip(self.streams[member.invocation], outs, strict=True) if out]
        return times

    def _leap(self, block: Block, touched: list[int], by: int) -> None:
        for lane in touched:
            self.lanes[lane] = self.lanes[lane] + by
        for member in block.members:
            self.streams[member.invocation] = [time + by for time in self.streams[member.invocation]]

    def _copy(self, member: Member) -> list[Time]:
        """Run one copy of a member's template and return the starts by node."""
        tasks = self.templates[member.segment.template]
        numbers = [2 * team + lane for team in member.program.teams for lane in (0, 1)]
        lanes = [self.lanes[number] for number in numbers]
        values = [*self.streams[member.invocation][: tasks.streams], *(self.zero for _ in tasks.tasks)]
        starts = [self.zero] * len(tasks.tasks)
        if self.uniform:
            numbered = cast("tuple[list[int], list[int], list[int]]", (lanes, values, starts))
            self._advance_numbers(member, tasks, *numbered)
        else:
            ranked = cast("tuple[list[Picoseconds], list[Picoseconds], list[Picoseconds]]", (lanes, values, starts))
            self._advance_vectors(member, tasks, *ranked)
        for number, lane in zip(numbers, lanes, strict=True):
            self.lanes[number] = lane
        self.streams[member.invocation] = [self._out(tasks, values, out) for out in tasks.outs]
        if tasks.mails:
            sent, received = self._counts.get(member.invocation, (0, 0))
            sends = sum(mail.sends for mail in tasks.mails)
            self._counts[member.invocation] = sent + sends, received + len(tasks.mails) - sends
        return starts

    def _out(self, tasks: Tasks, values: list[Time], out: tuple[int, ...]) -> Time:
        """The value of a stream afterwards: on the stage's own team rank by rank, from another when all are done."""
        times = [values[i] if tasks.teams[i] == 0 else barrier(values[i]) for i in out]
        return _maximum(times) if times else self.zero

    def _advance_numbers(
        self, member: Member, tasks: Tasks, lanes: list[int], values: list[int], starts: list[int]
    ) -> None:
        for task in tasks.tasks:
            start = lanes[task.lane]
            for dep in task.deps:
                if values[dep] > start:
                    start = values[dep]
            length = task.length
            if task.links:
                start = max(start, *(max(starts[i], values[tasks.streams + i] - length) for i in task.links))
            if task.mail:
                start = cast("int", self._meet(member, task, tasks.mirrored, start))
            end = start + length
            starts[task.node] = start
            values[task.value] = end
            lanes[task.lane] = end

    def _advance_vectors(
        self,
        member: Member,
        tasks: Tasks,
        lanes: list[Picoseconds],
        values: list[Picoseconds],
        starts: list[Picoseconds],
    ) -> None:
        for task in tasks.tasks:
            start = lanes[task.lane]
            for dep in task.same:
                start = np.maximum(start, values[dep])
            for dep in task.cross:
                start = np.maximum(start, values[dep].max())
            for i in task.links:
                met = np.maximum(starts[i].max(), values[tasks.streams + i].max() - task.duration)
                start = np.maximum(start, met)
            if task.mail:
                start = cast("Picoseconds", self._meet(member, task, tasks.mirrored, start))
            if task.members is not None:
                start = group_maximum(start, task.members)
            end = start + task.duration
            starts[task.node] = start
            values[task.value] = end
            lanes[task.lane] = end

    def _meet(self, member: Member, task: Task, mirrored: bool, start: Time) -> Time:
        """Wait for the message, or leave it; mirrored, it is the send that waits."""
        mail, length = task.mail, task.length if self.uniform else task.duration
        if mail is None:
            return start
        key = mail_key(member, mail, self._counts.get(member.invocation, (0, 0)), self.stages)
        if mail.sends is mirrored:
            met = self.mail.pop(key, None)
            return start if met is None else _latest(start, _met(*_fit(met, start), length))
        self.mail[key] = (start, start + length)
        return start


def mail_key(member: Member, mail: Mail, base: tuple[int, int], stages: int) -> MailKey:
    """The name of a message, the same from both ends. `base` counts what the invocation (sent, received) before."""
    if mail.sends:
        return member.step, member.micro_batch, member.stage, base[0] + mail.ordinal
    number = base[1] + mail.ordinal
    if member.stage == 0:
        return member.step - 1, member.micro_batch, stages - 1, number
    return member.step, member.micro_batch, member.stage - 1, number


def constant_shift(before: Sequence[Time], after: Sequence[Time]) -> int | None:
    """The constant by which every time grew, or None where there is none."""
    if len(before) != len(after) or not after:
        return None
    shift = latest(after[0]) - latest(before[0])
    same = (bool(np.all(new - old == shift)) for old, new in zip(before, after, strict=True))
    return shift if all(same) else None


def latest(time: Time) -> int:
    """The time of the last rank."""
    return time if isinstance(time, int) else int(time.max())


def barrier(time: Time) -> Time:
    """When the last rank is ready."""
    return time if isinstance(time, int) else time.max(keepdims=True)


def _met(start: Time, end: Time, length: Time) -> Time:
    """Earliest start of what meets a message that starts and ends so, and takes `length`."""
    return _latest(start, end - length)


def _fit(message: tuple[Time, Time], time: Time) -> tuple[Time, Time]:
    """A message rank by rank; where the two teams differ in width, until its last rank."""
    start, end = message
    if isinstance(start, int) or isinstance(time, int) or 1 in (len(start), len(time)) or len(start) == len(time):
        return message
    return barrier(start), barrier(end)


def _latest(one: Time, other: Time) -> Time:
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    return np.maximum(one, other)


def _maximum(times: list[Time]) -> Time:
    latest = times[0]
    for time in times[1:]:
        latest = _latest(latest, time)
    return latest
