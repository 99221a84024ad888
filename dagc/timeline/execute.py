"""Runs blocks of tasks in order, and keeps of each copy what it takes to run it again.

The state is a ready time for each lane of each team and for each stream of each running invocation. A copy maps the
state to the next one by maxima and sums (a max-plus map F, with F(x + c) = F(x) + c). So when a copy has moved all that
the block touches by one constant, all further copies do the same and are not run; and a block that was entered before,
in a state that differs by a constant, is not run again either, as when micro-batches follow each other evenly. What a
lane was left with before any of a block's inputs is there cannot matter, nor when an input came before any of its lanes
was free: what is too early to matter counts as ready with the first that does.

Assumes tasks in topological order and equal durations within a group. It does not know what is before or after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from dagc.timeline.advance import Entry, Message, Time, Times, advance, barrier, constant_shift, earliest, later, latest
from dagc.timeline.order import Block, Member
from dagc.timeline.steps import Steps
from dagc.timeline.tasks import Mail

MailKey = tuple[int, int, int, int]
"""A message between invocations: (step of the send, micro-batch, stage of the send, number among its messages)."""

_NO_MESSAGES: Mapping[int, Message] = {}


@dataclass(slots=True, eq=False)
class Kept:
    """The state before each explicit copy of a member, and the times of those copies that were asked for lately.

    Numbers are few and stay; of vectors there are two copies at a time.
    """

    steps: Steps
    uniform: bool
    entries: Sequence[Entry]
    times: dict[int, Times] = field(default_factory=dict[int, Times])

    def of(self, copy: int, row: int) -> Times:
        """The times of an explicit copy, run again."""
        found = self.times.get(copy)
        if found is None:
            if not self.uniform and len(self.times) > 1:
                del self.times[next(iter(self.times))]
            found = self.times[copy] = advance(self.steps, row, self.entries[copy], self.uniform)
        return found


@dataclass(slots=True, eq=False)
class Executed:
    """One member of a block. Copies from the last explicit one on follow by `shift`.

    `count` is the block's; copies are counted from `member.offset` of the segment on. `mail_base` is the number of
    messages that the invocation has (sent, received) before the first copy. All that `kept` and `last` say
    happens `later`; `last` is what the last explicit copy leaves on the lanes that it uses.
    """

    member: Member
    kept: Kept
    count: int
    mail_base: tuple[int, int]
    shift: int = 0
    later: int = 0
    last: tuple[Time, ...] = ()

    @property
    def last_end(self) -> int:
        """When the last rank of the last copy is done."""
        return max(map(latest, self.last), default=0) + (self.count - self.explicit) * self.shift + self.later

    @property
    def steps(self) -> Steps:
        """The steps of its template."""
        return self.kept.steps

    @property
    def explicit(self) -> int:
        """Copies that do not follow from the one before by the shift."""
        return len(self.kept.entries)

    def row(self, copy: int) -> int:
        """The row of a copy's durations; the mirror counts copies from the last."""
        return self.member.offset + (self.count - 1 - copy if self.kept.steps.mirrored else copy)

    def times(self, copy: int) -> tuple[Times, int]:
        """Times of a copy counted from the member's offset, and how much later than they say it runs."""
        last = min(copy, len(self.kept.entries) - 1)
        return self.kept.of(last, self.row(last)), self.later + (copy - last) * self.shift

    def begin(self, copy: int, step: int) -> Time:
        """Start of a step in a copy."""
        times, by = self.times(copy)
        return times.starts[step] + by if by else times.starts[step]

    def value(self, copy: int, value: int) -> Time:
        """A value of a copy."""
        times, by = self.times(copy)
        return times.values[value] + by if by else times.values[value]

    def start(self, copy: int, node: int) -> Time:
        """Start of a node in a copy."""
        number, which = self.steps.places[node]
        offset = self.steps.steps[number].offset(which, self.row(copy))
        start = self.begin(copy, number)
        return start + int(offset[0]) if isinstance(start, int) else start + offset


@dataclass(slots=True, eq=False)
class _Known:
    """A block that was run, and what it leaves: lanes, streams, messages by step. All times are as from 0."""

    kept: Kept
    shift: int
    last: tuple[Time, ...]
    lanes: tuple[Time, ...]
    streams: tuple[Time | None, ...]
    posts: tuple[tuple[int, Time, Time], ...]


@dataclass(slots=True, eq=False)
class _Before:
    """The state that a block is entered with: numbers of its lanes, names of its messages, and the first time that
    matters. `key` is what two states have in common that differ by a constant.
    """

    numbers: Sequence[int]
    mail: tuple[tuple[int, MailKey], ...]
    base: int
    key: tuple[int | bytes, ...]


@dataclass(slots=True, eq=False)
class Executor:
    """The state of one phase. `templates` are forward steps, or all mirrored."""

    templates: Sequence[Steps]
    teams: int
    stages: int
    lanes: list[Time] = field(init=False)
    streams: dict[tuple[int, int, int], list[Time]] = field(default_factory=dict[tuple[int, int, int], "list[Time]"])
    mail: dict[MailKey, Message] = field(default_factory=dict[MailKey, Message])
    uniform: bool = field(init=False)
    zero: Time = field(init=False)
    _counts: dict[tuple[int, int, int], tuple[int, int]] = field(
        default_factory=dict[tuple[int, int, int], "tuple[int, int]"]
    )
    _blocks: dict[tuple[int | bytes, ...], _Known] = field(default_factory=dict[tuple[int | bytes, ...], _Known])
    _lane_numbers: dict[tuple[tuple[int, ...], int], tuple[int, ...]] = field(
        default_factory=dict[tuple[tuple[int, ...], int], tuple[int, ...]]
    )

    def __post_init__(self) -> None:
        """Everything is ready at 0."""
        self.uniform = all(steps.uniform for steps in self.templates)
        self.zero = 0 if self.uniform else np.zeros(1, dtype=np.int64)
        self.lanes = [self.zero] * (2 * self.teams)

    def run(self, block: Block) -> list[Executed]:
        """All copies of a block, the state before each explicit one and the shift of the rest, by member."""
        steps = [self.templates[member.segment.template] for member in block.members]
        for member in block.members:
            self._enter(member)
        has_mail = any(one.mails for one in steps)
        if len(steps) == 1 and steps[0].passes_nothing and (block.count == 1 or not has_mail):
            return [self._known_or_run(block, block.members[0], steps[0])]
        return self._run(block, steps, has_mail)

    def _run(self, block: Block, steps: list[Steps], has_mail: bool) -> list[Executed]:
        entries: list[list[Entry]] = [[] for _ in steps]
        bases = [self._counts.get(member.invocation, (0, 0)) for member in block.members]
        done = [
            Executed(member, Kept(one, self.uniform, kept), block.count, base)
            for member, one, kept, base in zip(block.members, steps, entries, bases, strict=True)
        ]
        compressible = block.count > 1 and not has_mail and all(one.copies_alike for one in steps)
        touched = self._touched(block) if compressible else []
        before: list[Time] = []
        copy, shift = 0, None
        for copy in range(block.count):
            for executed, kept in zip(done, entries, strict=True):
                kept.append(self._copy(executed, copy))
            after = self._snapshot(block, touched) if compressible else []
            shift = constant_shift(before, after)
            if shift is not None:
                break
            before = after
        if shift:
            self._leap(block, touched, (block.count - copy - 1) * shift)
            for executed in done:
                executed.shift = shift
        return done

    def _known_or_run(self, block: Block, member: Member, steps: Steps) -> Executed:
        counts = self._counts.get(member.invocation, (0, 0))
        before = self._before(block, member, steps)
        known = self._blocks.get(before.key)
        if known is None:
            known = self._blocks[before.key] = self._learn(block, steps, before)
        base = before.base
        for number, time in zip(before.numbers, known.lanes, strict=True):
            self.lanes[number] = base + time
        self.streams[member.invocation] = [self.zero if time is None else base + time for time in known.streams]
        if steps.mails:
            for _, name in before.mail:
                self.mail.pop(name, None)
            for number, start, end in known.posts:
                self.mail[self._name(member, steps, number, counts)] = base + start, base + end
            self._count(member, steps, counts)
        return Executed(member, known.kept, block.count, counts, known.shift, base, known.last)

    def _before(self, block: Block, member: Member, steps: Steps) -> _Before:
        """The state before a block, in which what is too early to matter is moved to the first time that does."""
        numbers, lanes = self._numbers(member, steps), self.lanes
        streams = self.streams[member.invocation]
        mail = self._mail(member, steps) if steps.mails else ()
        base = min(earliest(lanes[number]) for number in numbers)
        if steps.awaits_inputs and len(mail) == len(steps.meets):
            base = max(base, min(earliest(time) for time in self._inputs(steps, streams, mail)))
        for number in numbers:
            lanes[number] = later(lanes[number], base)
        for stream in steps.reads:
            streams[stream] = later(streams[stream], base)
        for _, name in mail:
            start, end = self.mail[name]
            self.mail[name] = later(start, base), later(end, base)
        times = [lanes[number] for number in numbers] + [streams[stream] for stream in steps.reads]
        times += [time for _, name in mail for time in self.mail[name]]
        met = [step for step, _ in mail]
        key = (member.segment.template, block.count, member.offset, *met, *(_exactly(time - base) for time in times))
        return _Before(numbers, mail, base, key)

    def _inputs(self, steps: Steps, streams: list[Time], mail: tuple[tuple[int, MailKey], ...]) -> list[Time]:
        return [*(streams[stream] for stream in steps.reads), *(self.mail[name][0] for _, name in mail)]

    def _learn(self, block: Block, steps: Steps, before: _Before) -> _Known:
        """Run a block, and what it does from a state that is counted from its base."""
        (member,), base = block.members, before.base
        counts = self._counts.get(member.invocation, (0, 0))
        (executed,) = self._run(block, [steps], has_mail=bool(steps.mails))
        kept = Kept(steps, self.uniform, [entry.moved(-base) for entry in executed.kept.entries])
        streams = zip(self.streams[member.invocation], steps.outs, strict=True)
        posted = ((number, *self.mail[self._name(member, steps, number, counts)]) for number in steps.posts)
        return _Known(
            kept=kept,
            shift=executed.shift,
            last=tuple(time - base for time in executed.last),
            lanes=tuple(self.lanes[number] - base for number in before.numbers),
            streams=tuple(time - base if out else None for time, out in streams),
            posts=tuple((number, start - base, end - base) for number, start, end in posted),
        )

    def _numbers(self, member: Member, steps: Steps) -> Sequence[int]:
        """Numbers of the lanes that a template runs on, for the teams of a member."""
        key = (member.program.teams, member.segment.template)
        found = self._lane_numbers.get(key)
        if found is None:
            teams = member.program.teams
            found = self._lane_numbers[key] = tuple(2 * teams[lane // 2] + lane % 2 for lane in steps.used)
        return found

    def floor(self, member: Member, time: int) -> None:
        """Make every lane that a member uses ready no earlier than a time."""
        for lane in self._touched(Block((member,), 1)):
            self.lanes[lane] = later(self.lanes[lane], time)

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

    def _enter(self, member: Member) -> None:
        streams = self.templates[member.segment.template].streams
        times = self.streams.get(member.invocation)
        if times is None:
            before = (member.step - 1, member.micro_batch, member.stage)
            times = (self.streams.pop(before, None) if self.stages == 1 else None) or [self.zero]
        self.streams[member.invocation] = [*times, *(times[-1] for _ in range(streams - len(times)))]

    def _touched(self, block: Block) -> list[int]:
        """Numbers of the lanes that a block's tasks run on."""
        local = [(member, lane) for member in block.members for lane in self.templates[member.segment.template].used]
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
            outs = self.templates[member.segment.template].outs
            times = zip(self.streams[member.invocation], outs, strict=True)
            self.streams[member.invocation] = [time + by if out else time for time, out in times]

    def _copy(self, executed: Executed, copy: int) -> Entry:
        """Run one copy of a member's template and return the state before it."""
        member, steps = executed.member, executed.steps
        numbers = [2 * team + lane for team in member.program.teams[: steps.lanes // 2] for lane in (0, 1)]
        streams = tuple(self.streams[member.invocation][: steps.streams])
        messages = self._messages(member, steps) if steps.mails else _NO_MESSAGES
        entry = Entry(tuple(self.lanes[number] for number in numbers), streams, messages)
        times = advance(steps, executed.row(copy), entry, self.uniform)
        for lane in steps.used:
            self.lanes[numbers[lane]] = times.values[steps.ends[lane]]
        executed.last = tuple(times.values[steps.ends[lane]] for lane in steps.used)
        self.streams[member.invocation] = [self._out(steps, times, out) for out in steps.outs]
        if steps.mails:
            self._post(member, steps, times)
        return entry

    def _out(self, steps: Steps, times: Times, out: tuple[int, ...]) -> Time:
        """The value of a stream afterwards: on the stage's own team rank by rank, from another when all are done."""
        found = [times.values[i] if steps.team(i) == 0 else barrier(times.values[i]) for i in out]
        return reduce(later, found) if found else self.zero

    def _messages(self, member: Member, steps: Steps) -> dict[int, Message]:
        """What its steps meet, taken from the mail."""
        return {number: self.mail.pop(name) for number, name in self._mail(member, steps)}

    def _mail(self, member: Member, steps: Steps) -> tuple[tuple[int, MailKey], ...]:
        """Steps whose message is there, and its name; mirrored, it is the sends that wait."""
        counts = self._counts.get(member.invocation, (0, 0))
        names = ((number, self._name(member, steps, number, counts)) for number in steps.meets)
        return tuple((number, name) for number, name in names if name in self.mail)

    def _post(self, member: Member, steps: Steps, times: Times) -> None:
        counts = self._counts.get(member.invocation, (0, 0))
        for number in steps.posts:
            name = self._name(member, steps, number, counts)
            self.mail[name] = times.starts[number], times.values[steps.inputs + number]
        self._count(member, steps, counts)

    def _name(self, member: Member, steps: Steps, number: int, counts: tuple[int, int]) -> MailKey:
        mail = steps.steps[number].mail
        if mail is None:
            raise ValueError(f"step {number} sends and receives nothing")
        return mail_key(member, mail, counts, self.stages)

    def _count(self, member: Member, steps: Steps, counts: tuple[int, int]) -> None:
        sends = sum(mail.sends for mail in steps.mails)
        self._counts[member.invocation] = counts[0] + sends, counts[1] + len(steps.mails) - sends


def _exactly(time: Time) -> int | bytes:
    """A time as part of a key."""
    return time if isinstance(time, int) else time.tobytes()


def mail_key(member: Member, mail: Mail, base: tuple[int, int], stages: int) -> MailKey:
    """The name of a message, the same from both ends. `base` counts what the invocation (sent, received) before."""
    if mail.sends:
        return member.step, member.micro_batch, member.stage, base[0] + mail.ordinal
    number = base[1] + mail.ordinal
    if member.stage == 0:
        return member.step - 1, member.micro_batch, stages - 1, number
    return member.step, member.micro_batch, member.stage - 1, number
