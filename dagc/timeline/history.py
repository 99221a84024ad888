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
from dagc.timeline.execute import Executed, mail_key
from dagc.timeline.form import phase_lane
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
        """Of what ran; `tasks` are those of each template. `peers` are the runs of each run's block."""
        self.graph = graph
        self.tasks = tasks
        self.blocks = blocks
        self.executed = [executed for block in blocks for executed in block]
        self.peers: list[range] = []
        first = 0
        for block in blocks:
            self.peers += [range(first, first + len(block))] * len(block)
            first += len(block)

    @cached_property
    def ends(self) -> list[int]:
        """When each run is done, of step 0 alone; else 0."""
        return [0 if executed.member.step else executed.last_end for executed in self.executed]

    @cached_property
    def makespan(self) -> int:
        """The last end of step 0."""
        return max(self.ends, default=0)

    def follows(self, index: int) -> bool:
        """Whether some copies of a run follow by a shift."""
        executed = self.executed[index]
        return executed.explicit < executed.count

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
        executed = self.executed[slot.run]
        teams = executed.member.program.teams
        number = phase_lane(teams, lane)
        peers, steps = self.peers[slot.run], executed.kept.steps
        if len(peers) == 1 and slot.copy > 0 and lane in steps.used:
            return Slot(slot.run, slot.copy - 1, steps.ends[lane] - steps.inputs)
        for index in reversed(range(peers.start, slot.run)):
            if number in self._numbers(index):
                return self._last_on(index, slot.copy, number)
        if slot.copy > 0:
            index = next(i for i in reversed(peers) if number in self._numbers(i))
            return self._last_on(index, slot.copy - 1, number)
        runs = self._of_team[teams[lane // 2]]
        for index in reversed(runs[: bisect_left(runs, peers.start)]):
            if number in self._numbers(index):
                return self._last_on(index, self.executed[index].count - 1, number)
        return None

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
        if mail is None or mail.sends:
            return None
        executed = self.executed[slot.run]
        received = executed.mail_base[1] + slot.copy * (len(executed.steps.mails) - executed.steps.sends)
        *invocation, number = mail_key(executed.member, mail, (0, received), len(self.graph.programs[0]))
        found = (self._sent(index, number) for index in self._of_invocation.get((*invocation,), ()))
        return next((one for one in found if one is not None), None)

    def _sent(self, index: int, number: int) -> Slot | None:
        """The slot of a run that sent a message, by its number among those of the invocation."""
        executed = self.executed[index]
        for step, mail in executed.kept.steps.sent:
            copy, rest = divmod(number - executed.mail_base[0] - mail.ordinal, executed.steps.sends)
            if not rest and 0 <= copy < executed.count:
                return Slot(index, copy, step)
        return None

    @cached_property
    def _of_invocation(self) -> dict[tuple[int, ...], list[int]]:
        """The runs of each invocation, in order."""
        found: dict[tuple[int, ...], list[int]] = {}
        for index, executed in enumerate(self.executed):
            found.setdefault(executed.member.invocation, []).append(index)
        return found

    @cached_property
    def _of_team(self) -> list[list[int]]:
        """The runs of each team, in order."""
        found: list[list[int]] = [[] for _ in self.graph.teams]
        for index, executed in enumerate(self.executed):
            for team in executed.member.program.teams:
                found[team].append(index)
        return found

    def _numbers(self, index: int) -> list[int]:
        """Lanes, as `2 · team + lane` of the phase's teams, that a segment runs on."""
        executed = self.executed[index]
        steps, teams = executed.kept.steps, executed.member.program.teams
        return [phase_lane(teams, lane) for lane in steps.used]

    def _last_on(self, index: int, copy: int, number: int) -> Slot:
        executed = self.executed[index]
        teams, steps = executed.member.program.teams, executed.steps
        lane = next(lane for lane in steps.used if phase_lane(teams, lane) == number)
        return Slot(index, copy, steps.ends[lane] - steps.inputs)


def _last_below(runs: list[int], index: int) -> int | None:
    """The last of some runs that stands before another."""
    place = bisect_left(runs, index)
    return runs[place - 1] if place else None
