"""Runs blocks of tasks in order, and keeps of each copy what it takes to run it again.

The state is a ready time for each lane of each team and for each stream of each running invocation. A copy maps the
state to the next one by maxima and sums (a max-plus map F, with F(x + c) = F(x) + c). So when a copy has moved all that
the block touches by one constant, or by one for each component of ranks that never meet, all further copies do the same
and are not run.

Assumes tasks in topological order and equal durations within a group. It does not know what is before or after; who
runs blocks that were entered alike before goes through `replay.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce

from dagc.timeline.advance import Entry, Message, Times, advance
from dagc.timeline.components import Components
from dagc.timeline.form import Mail, phase_lane
from dagc.timeline.order import Block, Member
from dagc.timeline.steps import Steps
from dagc.timeline.times import Time, later, latest, moved

MailKey = tuple[int, int, int, int]
"""A message between invocations: (step of the send, micro-batch, stage of the send, number among its messages)."""

KEPT_BYTES = 32 << 20
"""Times of copies that are held, where they are vectors; past this a copy is run again when its times are asked for."""

_LATELY = 2
"""Copies past that limit whose times are held."""

_NO_MESSAGES: Mapping[int, Message] = {}


@dataclass(slots=True, eq=False)
class Tail:
    """The copies of another block from `copy` on, `later`."""

    kept: Kept
    copy: int
    later: Time


@dataclass(slots=True, eq=False)
class Kept:
    """The state before each explicit copy of a member, and the times of those for which there was room.

    Where `tail` is given, the copies after its own are those of another block.
    """

    steps: Steps
    entries: list[Entry] = field(default_factory=list[Entry])
    times: dict[int, Times] = field(default_factory=dict[int, Times])
    tail: Tail | None = None
    _lately: dict[int, Times] = field(default_factory=dict[int, Times])

    def __len__(self) -> int:
        """Explicit copies."""
        return len(self.entries) + (len(self.tail.kept) - self.tail.copy if self.tail else 0)

    def of(self, copy: int, row: int) -> tuple[Times, Time]:
        """The times of an explicit copy, and how much later than they say it runs."""
        found = self.times.get(copy)
        if found is not None:
            return found, 0
        if self.tail and copy >= len(self.entries):
            times, by = self.tail.kept.of(copy - len(self.entries) + self.tail.copy, row)
            return times, by + self.tail.later
        return self._again(copy, row), 0

    def _again(self, copy: int, row: int) -> Times:
        found = self._lately.get(copy)
        if found is None:
            if len(self._lately) == _LATELY:
                del self._lately[next(iter(self._lately))]
            found = self._lately[copy] = advance(self.steps, row, self.entries[copy])
        return found


@dataclass(slots=True, eq=False)
class Executed:
    """One member of a block. Copies from the last explicit one on follow by `shift`.

    `count` is the block's; copies are counted from `member.offset` of the segment on. `mail_base` is the number of
    messages that the invocation has (sent, received) before the first copy. All that `kept` and `end` say happens
    `later`; `end` is when the last copy is done. `shift` and `later` are constant in each component.
    """

    member: Member
    kept: Kept
    count: int
    mail_base: tuple[int, int]
    shift: Time = 0
    later: Time = 0
    end: Time = 0

    @property
    def last_end(self) -> int:
        """When the last rank of the last copy is done."""
        return latest(moved(self.end, self.later))

    @property
    def steps(self) -> Steps:
        """The steps of its template."""
        return self.kept.steps

    @property
    def explicit(self) -> int:
        """Copies that do not follow from the one before by the shift."""
        return len(self.kept)

    def row(self, copy: int) -> int:
        """The row of a copy's durations; the mirror counts copies from the last."""
        return self.member.offset + (self.count - 1 - copy if self.kept.steps.mirrored else copy)

    def times(self, copy: int) -> tuple[Times, Time]:
        """Times of a copy counted from the member's offset, and how much later than they say it runs."""
        explicit = len(self.kept)
        if copy < explicit:
            times, by = self.kept.of(copy, self.row(copy))
            return times, moved(self.later, by)
        times, by = self.kept.of(explicit - 1, self.row(explicit - 1))
        return times, moved(self.later, by) + (copy - explicit + 1) * self.shift

    def again(self, member: Member, mail_base: tuple[int, int], by: Time) -> Executed:
        """Another member that does the same, later."""
        return Executed(member, self.kept, self.count, mail_base, self.shift, moved(by, self.later), self.end)

    def begin(self, copy: int, step: int) -> Time:
        """Start of a step in a copy."""
        times, by = self.times(copy)
        return moved(times.starts[step], by)

    def value(self, copy: int, value: int) -> Time:
        """A value of a copy."""
        times, by = self.times(copy)
        return moved(times.values[value], by)

    def starts(self, copy: int) -> list[Time]:
        """Start of every node in a copy."""
        times, by = self.times(copy)
        row = self.row(copy)
        return [moved(self._start(times, row, node), by) for node in range(len(self.steps.places))]

    def start(self, copy: int, node: int) -> Time:
        """Start of a node in a copy."""
        times, by = self.times(copy)
        return moved(self._start(times, self.row(copy), node), by)

    def _start(self, times: Times, row: int, node: int) -> Time:
        number, which = self.steps.places[node]
        return moved(times.starts[number], self.steps.steps[number].offset(which, row))


@dataclass(slots=True, eq=False)
class Executor:
    """The state of one phase. `templates` are forward steps, or all mirrored; `components` are those of their ranks.

    `mail` holds the messages that nobody took yet, `counts` how many each invocation has (sent, received).
    """

    templates: Sequence[Steps]
    components: Components
    teams: int
    stages: int
    lanes: list[Time] = field(init=False)
    streams: dict[tuple[int, int, int], list[Time]] = field(default_factory=dict[tuple[int, int, int], "list[Time]"])
    mail: dict[MailKey, Message] = field(default_factory=dict[MailKey, Message])
    counts: dict[tuple[int, int, int], tuple[int, int]] = field(
        default_factory=dict[tuple[int, int, int], "tuple[int, int]"]
    )
    _room: int = KEPT_BYTES

    def __post_init__(self) -> None:
        """Everything is ready at 0."""
        self.lanes = [0] * (2 * self.teams)

    def enter(self, member: Member) -> Steps:
        """Make the streams of a member's template ready; its steps."""
        steps = self.templates[member.segment.template]
        times = self.streams.get(member.invocation)
        if times is None:
            before = (member.step - 1, member.micro_batch, member.stage)
            times = (self.streams.pop(before, None) if self.stages == 1 else None) or [0]
        self.streams[member.invocation] = [*times, *(times[-1] for _ in range(steps.streams - len(times)))]
        return steps

    def begin(self, member: Member, count: int) -> Executed:
        """A member of a block of which no copy has run."""
        steps = self.templates[member.segment.template]
        return Executed(member, Kept(steps), count, self.counts.get(member.invocation, (0, 0)))

    def run(self, block: Block) -> list[Executed]:
        """All copies of a block, the state before each explicit one and the shift of the rest, by member."""
        steps = [self.enter(member) for member in block.members]
        done = [self.begin(member, block.count) for member in block.members]
        compressible = block.count > 1 and all(one.copies_alike and not one.mails for one in steps)
        touched = self._touched(block) if compressible else []
        before: list[Time] = []
        copy, shift, times = 0, None, list[Times]()
        for copy in range(block.count):
            times = [self.copy(executed, copy) for executed in done]
            after = self._snapshot(block, touched) if compressible else []
            shift = self.components.shift(before, after)
            if shift is not None:
                break
            before = after
        leap = (block.count - copy - 1) * (0 if shift is None else shift)
        if shift is not None:
            self._leap(block, touched, leap)
        for executed, last in zip(done, times, strict=True):
            executed.shift = 0 if shift is None else shift
            executed.end = moved(self.end(executed, last), leap)
        return done

    def copy(self, executed: Executed, copy: int) -> Times:
        """Run one copy of a member's template, and keep the state before it; its times."""
        member, steps = executed.member, executed.steps
        numbers, invocation = _lane_numbers(member.program.teams, steps.lanes), member.invocation
        streams = tuple(self.streams[invocation][: steps.streams])
        messages = self._messages(member, steps) if steps.mails else _NO_MESSAGES
        entry = Entry(tuple([self.lanes[number] for number in numbers]), streams, messages)
        times = advance(steps, executed.row(copy), entry)
        for lane in steps.used:
            self.lanes[numbers[lane]] = times.values[steps.ends[lane]]
        if steps.own is None:
            self.streams[invocation] = [self._out(steps, times, out) for out in steps.outs]
        else:
            self.streams[invocation] = [times.values[value] for value in steps.own]
        if steps.mails:
            self._post(member, steps, times)
        self._keep(executed.kept, entry, times)
        return times

    def end(self, executed: Executed, times: Times) -> Time:
        """When a copy is done."""
        steps = executed.steps
        return self.components.latest([times.values[steps.ends[lane]] for lane in steps.used])

    def floor(self, member: Member, time: int) -> None:
        """Make every lane that a member uses ready no earlier than a time."""
        for lane in self._touched(Block((member,), 1)):
            self.lanes[lane] = later(self.lanes[lane], time)

    def finish(self, period: int) -> None:
        """Forget what nothing can ask for after a period: finished invocations and messages that nobody took."""
        if self.stages > 1:
            self.streams.clear()
        self.counts.clear()
        self.mail = {key: times for key, times in self.mail.items() if key[0] >= period - 1}

    def pending(self) -> list[Time]:
        """All that the next period depends on: lanes, streams and messages not yet received."""
        messages = [time for pair in self.mail.values() for time in pair]
        return [*self.lanes, *(time for times in self.streams.values() for time in times), *messages]

    def waiting(self, member: Member, steps: Steps) -> tuple[tuple[int, MailKey], ...]:
        """Steps whose message is there, and its name; mirrored, it is the sends that wait."""
        counts = self.counts.get(member.invocation, (0, 0))
        names = ((number, self.name(member, steps, number, counts)) for number in steps.meets)
        return tuple((number, name) for number, name in names if name in self.mail)

    def name(self, member: Member, steps: Steps, number: int, counts: tuple[int, int]) -> MailKey:
        """The name of a step's message, for an invocation that has `counts` messages before the template."""
        mail = steps.steps[number].mail
        if mail is None:
            raise ValueError(f"step {number} sends and receives nothing")
        return mail_key(member, mail, counts, self.stages)

    def _keep(self, kept: Kept, entry: Entry, times: Times) -> None:
        size = 16 * sum([len(start) for start in times.starts if not isinstance(start, int)])
        if size <= self._room:
            self._room -= size
            kept.times[len(kept.entries)] = times
        kept.entries.append(entry)

    def _touched(self, block: Block) -> list[int]:
        """Numbers of the lanes that a block's tasks run on."""
        local = [(member, lane) for member in block.members for lane in self.templates[member.segment.template].used]
        return sorted({phase_lane(member.program.teams, lane) for member, lane in local})

    def _snapshot(self, block: Block, touched: list[int]) -> list[Time]:
        times = [self.lanes[lane] for lane in touched]
        for member in block.members:
            outs = self.templates[member.segment.template].outs
            times += [time for time, out in zip(self.streams[member.invocation], outs, strict=True) if out]
        return times

    def _leap(self, block: Block, touched: list[int], by: Time) -> None:
        for lane in touched:
            self.lanes[lane] = moved(self.lanes[lane], by)
        for member in block.members:
            outs = self.templates[member.segment.template].outs
            times = zip(self.streams[member.invocation], outs, strict=True)
            self.streams[member.invocation] = [moved(time, by) if out else time for time, out in times]

    def _out(self, steps: Steps, times: Times, out: tuple[int, ...]) -> Time:
        """The value of a stream afterwards: on the stage's own team rank by rank, from another when all are done."""
        if len(out) == 1 and steps.team(out[0]) == 0:
            return times.values[out[0]]
        found = [times.values[i] if steps.team(i) == 0 else latest(times.values[i]) for i in out]
        return reduce(later, found) if found else 0

    def _messages(self, member: Member, steps: Steps) -> dict[int, Message]:
        """What its steps meet, taken from the mail."""
        return {number: self.mail.pop(name) for number, name in self.waiting(member, steps)}

    def _post(self, member: Member, steps: Steps, times: Times) -> None:
        counts = self.counts.get(member.invocation, (0, 0))
        for number in steps.posts:
            name = self.name(member, steps, number, counts)
            self.mail[name] = times.starts[number], times.values[steps.inputs + number]
        self.counts[member.invocation] = counts[0] + steps.sends, counts[1] + len(steps.mails) - steps.sends


@lru_cache(maxsize=1024)
def _lane_numbers(teams: tuple[int, ...], lanes: int) -> tuple[int, ...]:
    """The numbers among those of the phase of the first lanes of a program."""
    return tuple([phase_lane(teams, lane) for lane in range(lanes)])


def mail_key(member: Member, mail: Mail, base: tuple[int, int], stages: int) -> MailKey:
    """The name of a message, the same from both ends. `base` counts what the invocation (sent, received) before."""
    if mail.sends:
        return member.step, member.micro_batch, member.stage, base[0] + mail.ordinal
    number = base[1] + mail.ordinal
    if member.stage == 0:
        return member.step - 1, member.micro_batch, stages - 1, number
    return member.step, member.micro_batch, member.stage - 1, number
