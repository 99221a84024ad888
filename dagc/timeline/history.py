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
from dagc.timeline.execute import Executed, MailKey, mail_key
from dagc.timeline.form import Mail
from dagc.timeline.steps import Step, Steps
from dagc.timeline.tasks import Tasks
from dagc.timeline.times import Time


class Slot(NamedTuple):
    """Step `step` in copy `copy` of `executed[run]`."""

    run: int
    copy: int
    step: int


class History:
    """Executed segments in the order in which they ran; `blocks[i]` ran in lock step."""

    def __init__(self, graph: PhaseGraph, tasks: Sequence[Tasks], blocks: list[list[Executed]]) -> None:
        """Index what ran; `tasks` are those of each template, `makespan` is the last end of step 0.

        `peers` are the runs of each run's block, `follows` whether some of its copies follow by a shift.
        """
        self.graph = graph
        self.tasks = tasks
        self.blocks = blocks
        self.executed = [executed for block in blocks for executed in block]
        self.follows = [executed.explicit < executed.count for executed in self.executed]
        self.peers: list[range] = []
        self._on_lane: dict[int, list[int]] = {}
        self._of_invocation: dict[tuple[int, int, int], list[int]] = {}
        self._index()
        self.makespan = max((e.last_end for e in self.executed if e.member.step == 0), default=0)

    def steps(self, index: int) -> Steps:
        """The steps of an executed segment."""
        return self.executed[index].steps

    def step(self, slot: Slot) -> Step:
        """The step of a slot."""
        return self.executed[slot.run].steps.steps[slot.step]

    def team(self, slot: Slot) -> int:
        """The team of a slot, as an index into the phase's teams."""
        executed = self.executed[slot.run]
        return executed.member.program.teams[executed.kept.steps.steps[slot.step].lane // 2]

    def start(self, slot: Slot) -> Time:
        """Start by rank."""
        return self.executed[slot.run].begin(slot.copy, slot.step)

    def end(self, slot: Slot) -> Time:
        """End by rank."""
        executed = self.executed[slot.run]
        return executed.value(slot.copy, executed.steps.inputs + slot.step)

    def before_on_lane(self, slot: Slot, lane: int) -> Slot | None:
        """The slot that left a lane of the template as the copy of `slot` found it."""
        number = 2 * self.executed[slot.run].member.program.teams[lane // 2] + lane % 2
        peers = self.peers[slot.run]
        steps = self.executed[slot.run].kept.steps
        if len(peers) == 1 and slot.copy > 0 and lane in steps.used:
            return Slot(slot.run, slot.copy - 1, steps.ends[lane] - steps.inputs)
        for index in reversed(range(peers.start, slot.run)):
            if number in self._numbers(index):
                return self._last_on(index, slot.copy, number)
        if slot.copy > 0:
            index = next(i for i in reversed(peers) if number in self._numbers(i))
            return self._last_on(index, slot.copy - 1, number)
        before = _last_below(self._on_lane[number], peers.start)
        return None if before is None else self._last_on(before, self.executed[before].count - 1, number)

    def feeder(self, slot: Slot, stream: int) -> Slot | None:
        """The slot that yields a stream as the copy of `slot` takes it; None at the start of an invocation."""
        index, copy = slot.run, slot.copy
        while True:
            if copy == 0:
                before = _last_below(self._of_invocation[self.executed[index].member.invocation], index)
                if before is None:
                    return None
                index, copy = before, self.executed[before].count
            copy -= 1
            steps = self.steps(index)
            value = steps.outs[min(stream, len(steps.outs) - 1)][0]
            if value >= steps.inputs:
                return Slot(index, copy, value - steps.inputs)
            stream = value - steps.lanes

    def sender(self, slot: Slot) -> Slot | None:
        """The send of another invocation that a receive met."""
        mail = self.step(slot).mail
        return None if mail is None or mail.sends else self._sends.get(self._key(slot, mail))

    def _index(self) -> None:
        """The runs of each lane and of each invocation, in order."""
        first = 0
        numbers: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for block in self.blocks:
            peers = range(first, first + len(block))
            for index, executed in zip(peers, block, strict=True):
                self.peers.append(peers)
                self._of_invocation.setdefault(executed.member.invocation, []).append(index)
                key = id(executed.kept.steps), executed.member.program.teams
                for number in numbers.get(key) or numbers.setdefault(key, self._numbers(index)):
                    self._on_lane.setdefault(number, []).append(index)
            first = peers.stop

    def _numbers(self, index: int) -> list[int]:
        """Lanes, as `2 · team + lane` of the phase's teams, that a segment runs on."""
        executed = self.executed[index]
        steps, teams = executed.kept.steps, executed.member.program.teams
        return [2 * teams[lane // 2] + lane % 2 for lane in steps.used]

    def _last_on(self, index: int, copy: int, number: int) -> Slot:
        executed = self.executed[index]
        teams, steps = executed.member.program.teams, executed.steps
        lane = next(lane for lane in steps.used if 2 * teams[lane // 2] + lane % 2 == number)
        return Slot(index, copy, steps.ends[lane] - steps.inputs)

    @cached_property
    def _sends(self) -> dict[MailKey, Slot]:
        """All sends that a receive of another invocation may have met, by the name of the message."""
        return {
            self._key(slot, mail): slot
            for index, executed in enumerate(self.executed)
            for number, mail in executed.kept.steps.sent
            for slot in (Slot(index, copy, number) for copy in range(executed.count))
        }

    def _key(self, slot: Slot, mail: Mail) -> MailKey:
        executed = self.executed[slot.run]
        steps, (sent, received) = executed.kept.steps, executed.mail_base
        sends = slot.copy * steps.sends
        base = sent + sends, received + slot.copy * len(steps.mails) - sends
        return mail_key(executed.member, mail, base, len(self.graph.programs[0]))


def _last_below(runs: list[int], index: int) -> int | None:
    """The last of some runs that stands before another."""
    place = bisect_left(runs, index)
    return runs[place - 1] if place else None
