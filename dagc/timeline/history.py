"""What ran, in order, and who ran before whom.

Turns the executed blocks of a phase into answers for a walk back in time: the slot before another on its lane, the
slot that feeds a stream, the send that a receive met. A slot is one step in one copy of one executed segment; its
rank is a separate matter. Lookups are constant-time; nothing is held per copy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from dagc.graph.graph import PhaseGraph
from dagc.timeline.execute import mail_key
from dagc.timeline.form import phase_lane
from dagc.timeline.ran import Ran
from dagc.timeline.steps import Step, Steps
from dagc.timeline.tasks import Tasks
from dagc.timeline.times import Time


class Slot(NamedTuple):
    """Step `step` in copy `copy` of `executed[run]`."""

    run: int
    copy: int
    step: int


class History:
    """What ran in step 0, in the order in which it ran."""

    def __init__(self, graph: PhaseGraph, tasks: Sequence[Tasks], executed: Ran) -> None:
        """`tasks` are those of each template."""
        self.graph = graph
        self.tasks = tasks
        self.executed = executed

    @cached_property
    def last_done(self) -> tuple[int, int] | None:
        """The last end of step 0, and the first run that is done then; None where nothing runs."""
        return self.executed.last_done()

    @property
    def makespan(self) -> int:
        """The last end of step 0."""
        return self.last_done[0] if self.last_done else 0

    def follows(self, index: int) -> bool:
        """Whether some copies of a run follow by a shift."""
        executed = self.executed.run(index)
        return executed.explicit < executed.count

    def steps(self, index: int) -> Steps:
        """The steps of an executed segment."""
        return self.executed.run(index).steps

    def step(self, slot: Slot) -> Step:
        """The step of a slot."""
        return self.executed.run(slot.run).steps.steps[slot.step]

    def team(self, slot: Slot) -> int:
        """The team of a slot, as an index into the phase's teams."""
        executed = self.executed.run(slot.run)
        return executed.member.program.teams[executed.kept.steps.steps[slot.step].lane // 2]

    def start(self, slot: Slot) -> Time:
        """Start by rank."""
        return self.executed.run(slot.run).begin(slot.copy, slot.step)

    def end(self, slot: Slot) -> Time:
        """End by rank."""
        executed = self.executed.run(slot.run)
        return executed.value(slot.copy, executed.steps.inputs + slot.step)

    def before_on_lane(self, slot: Slot, lane: int) -> Slot | None:
        """The slot that left a lane of the template as the copy of `slot` found it."""
        executed = self.executed.run(slot.run)
        teams = executed.member.program.teams
        number = phase_lane(teams, lane)
        peers, steps = self.executed.peers(slot.run), executed.kept.steps
        if len(peers) == 1 and slot.copy > 0 and lane in steps.used:
            return Slot(slot.run, slot.copy - 1, steps.ends[lane] - steps.inputs)
        for index in reversed(range(peers.start, slot.run)):
            if number in self._numbers(index):
                return self._last_on(index, slot.copy, number)
        if slot.copy > 0:
            index = next(i for i in reversed(peers) if number in self._numbers(i))
            return self._last_on(index, slot.copy - 1, number)
        runs = self.executed.of_team(teams[lane // 2])
        for place in reversed(range(bisect_left(runs, peers.start))):
            index = runs[place]
            if number in self._numbers(index):
                return self._last_on(index, self.executed.run(index).count - 1, number)
        return None

    def feeder(self, slot: Slot, stream: int) -> Slot | None:
        """The slot that yields a stream as the copy of `slot` takes it; None at the start of an invocation."""
        index, copy = slot.run, slot.copy
        while True:
            if copy == 0:
                before = _last_below(self.executed.of_invocation(self.executed.run(index).member.invocation), index)
                if before is None:
                    return None
                index, copy = before, self.executed.run(before).count
            copy -= 1
            steps = self.steps(index)
            value = steps.outs[min(stream, len(steps.outs) - 1)][0]
            if value >= steps.inputs:
                return Slot(index, copy, value - steps.inputs)
            stream = value - steps.lanes

    def sender(self, slot: Slot) -> Slot | None:
        """The send of another invocation that a receive met."""
        mail = self.step(slot).mail
        if mail is None or mail.sends:
            return None
        executed = self.executed.run(slot.run)
        received = executed.mail_base[1] + slot.copy * (len(executed.steps.mails) - executed.steps.sends)
        *invocation, number = mail_key(executed.member, mail, (0, received), len(self.graph.programs[0]))
        found = (self._sent(index, number) for index in self.executed.of_invocation((*invocation,)))
        return next((one for one in found if one is not None), None)

    def _sent(self, index: int, number: int) -> Slot | None:
        """The slot of a run that sent a message, by its number among those of the invocation."""
        executed = self.executed.run(index)
        for step, mail in executed.kept.steps.sent:
            copy, rest = divmod(number - executed.mail_base[0] - mail.ordinal, executed.steps.sends)
            if not rest and 0 <= copy < executed.count:
                return Slot(index, copy, step)
        return None

    def _numbers(self, index: int) -> list[int]:
        """Lanes, as `2 · team + lane` of the phase's teams, that a segment runs on."""
        executed = self.executed.run(index)
        steps, teams = executed.kept.steps, executed.member.program.teams
        return [phase_lane(teams, lane) for lane in steps.used]

    def _last_on(self, index: int, copy: int, number: int) -> Slot:
        executed = self.executed.run(index)
        teams, steps = executed.member.program.teams, executed.steps
        lane = next(lane for lane in steps.used if phase_lane(teams, lane) == number)
        return Slot(index, copy, steps.ends[lane] - steps.inputs)


def _last_below(runs: Sequence[int], index: int) -> int | None:
    """The last of some runs that stands before another."""
    place = bisect_left(runs, index)
    return runs[place - 1] if place else None
