"""What ran, in order, and who ran before whom.

Turns the executed blocks of a phase into answers for a walk back in time: the slot before another on its lane, the
slot that feeds a stream, the send that a receive met. A slot is one node in one copy of one executed segment; its
rank is a separate matter. Lookups are constant-time; nothing is held per copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dagc.graph.graph import PhaseGraph
from dagc.timeline.execute import Executed, MailKey, Time, latest, mail_key
from dagc.timeline.tasks import Task, Tasks


@dataclass(frozen=True, slots=True)
class Slot:
    """Node `node` in copy `copy` of `executed[index]`."""

    index: int
    copy: int
    node: int


class History:
    """Executed segments in the order in which they ran; `blocks[i]` ran in lock step."""

    def __init__(self, graph: PhaseGraph, tasks: Sequence[Tasks], blocks: list[list[Executed]]) -> None:
        """Index what ran; `tasks` are the forward tasks by template.

        `last_ends` holds the last end of each executed segment, `makespan` that of step 0.
        """
        self.graph = graph
        self.tasks = tasks
        self.blocks = blocks
        self.executed = [executed for block in blocks for executed in block]
        self._peers: list[range] = []
        self._before_on_lane: list[dict[int, int]] = []
        self._before_of_invocation: list[int | None] = []
        self._index()
        self.sends = dict(self._sends())
        self.last_ends = [self._last_end(index) for index in range(len(self.executed))]
        first = (end for end, e in zip(self.last_ends, self.executed, strict=True) if e.member.step == 0)
        self.makespan = max(first, default=0)

    def tasks_of(self, index: int) -> Tasks:
        """The forward tasks of an executed segment."""
        return self.tasks[self.executed[index].member.segment.template]

    def task(self, slot: Slot) -> Task:
        """The task of a slot."""
        return self.tasks_of(slot.index).tasks[slot.node]

    def team(self, slot: Slot) -> int:
        """The team of a slot, as an index into the phase's teams."""
        return self.executed[slot.index].member.program.teams[self.task(slot).lane // 2]

    def start(self, slot: Slot) -> Time:
        """Start by rank."""
        return self.executed[slot.index].start(slot.copy, slot.node)

    def end(self, slot: Slot) -> Time:
        """End by rank."""
        task = self.task(slot)
        start = self.start(slot)
        return start + task.length if isinstance(start, int) else start + task.duration

    def _last_end(self, index: int) -> int:
        """The last end of a segment; copies follow each other, so it is in the last copy."""
        copy = self.executed[index].count - 1
        nodes = range(len(self.tasks_of(index).tasks))
        return max((latest(self.end(Slot(index, copy, node))) for node in nodes), default=0)

    def before_on_lane(self, slot: Slot) -> Slot | None:
        """The slot that had the lane before."""
        lane = self.task(slot).lane
        earlier = [task.node for task in self.tasks_of(slot.index).tasks[: slot.node] if task.lane == lane]
        if earlier:
            return Slot(slot.index, slot.copy, earlier[-1])
        number = 2 * self.team(slot) + lane % 2
        peers = self._peers[slot.index]
        for index in reversed(range(peers.start, slot.index)):
            if number in self._numbers(index):
                return self._last_on(index, slot.copy, number)
        if slot.copy > 0:
            index = next(i for i in reversed(peers) if number in self._numbers(i))
            return self._last_on(index, slot.copy - 1, number)
        before = self._before_on_lane[slot.index].get(number)
        return None if before is None else self._last_on(before, self.executed[before].count - 1, number)

    def feeder(self, slot: Slot, stream: int) -> Slot | None:
        """The slot that yields a stream as the copy of `slot` takes it; None at the start of an invocation."""
        index, copy = slot.index, slot.copy
        while True:
            if copy == 0:
                before = self._before_of_invocation[index]
                if before is None:
                    return None
                index, copy = before, self.executed[before].count
            copy -= 1
            tasks = self.tasks_of(index)
            value = tasks.outs[min(stream, len(tasks.outs) - 1)][0]
            if value >= tasks.streams:
                return Slot(index, copy, value - tasks.streams)
            stream = value

    def sender(self, slot: Slot) -> Slot | None:
        """The send of another invocation that a receive met."""
        mail = self.task(slot).mail
        return None if mail is None or mail.sends else self.sends.get(self._key(slot))

    def _index(self) -> None:
        on_lane: dict[int, int] = {}
        of_invocation: dict[tuple[int, int, int], int] = {}
        first = 0
        for block in self.blocks:
            peers = range(first, first + len(block))
            for index in peers:
                self._peers.append(peers)
                numbers = self._numbers(index)
                self._before_on_lane.append({n: on_lane[n] for n in numbers if n in on_lane})
                invocation = self.executed[index].member.invocation
                self._before_of_invocation.append(of_invocation.get(invocation))
                of_invocation[invocation] = index
            for index in peers:
                on_lane.update(dict.fromkeys(self._numbers(index), index))
            first = peers.stop

    def _numbers(self, index: int) -> list[int]:
        """Lanes, as `2 · team + lane` of the phase's teams, that a segment runs on."""
        teams = self.executed[index].member.program.teams
        return [2 * teams[lane // 2] + lane % 2 for lane in self.tasks_of(index).lanes]

    def _last_on(self, index: int, copy: int, number: int) -> Slot:
        teams = self.executed[index].member.program.teams
        tasks = self.tasks_of(index).tasks
        found = (t.node for t in reversed(tasks) if 2 * teams[t.lane // 2] + t.lane % 2 == number)
        return Slot(index, copy, next(found))

    def _sends(self) -> Iterator[tuple[MailKey, Slot]]:
        for index, executed in enumerate(self.executed):
            for task in self.tasks_of(index).tasks:
                if task.mail and task.mail.sends:
                    for copy in range(executed.count):
                        slot = Slot(index, copy, task.node)
                        yield self._key(slot), slot

    def _key(self, slot: Slot) -> MailKey:
        executed, mail = self.executed[slot.index], self.task(slot).mail
        mails = self.tasks_of(slot.index).mails
        if mail is None:
            raise ValueError(f"node {slot.node} sends and receives nothing")
        sends = slot.copy * sum(m.sends for m in mails)
        base = executed.mail_base[0] + sends, executed.mail_base[1] + slot.copy * len(mails) - sends
        return mail_key(executed.member, mail, base, len(self.graph.programs[0]))
