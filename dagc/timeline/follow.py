"""Stages whose lanes are their own: what a turn does follows from the turn before it and from who sent to it.

Between two turns of such a stage nothing else touches its lanes. So the state that a turn finds is what the stage's
last turn left, and the messages that other turns sent; where the last turn and those are known, each with how much
later it was than when it was learnt, the differences name the state, and no time needs to be looked at. This is how the
micro-batches of a pipeline that has settled cost next to nothing, rank by rank where load is uneven.
"""

from __future__ import annotations

from dagc.timeline.execute import Executed, Executor, MailKey
from dagc.timeline.order import Member, Turn
from dagc.timeline.replay import Form, Known, Replay, exactly
from dagc.timeline.times import Time, moved

_Key = tuple[object, ...]


class Follow:
    """Replays whole invocations of several stages, each on lanes of its own."""

    def __init__(self, executor: Executor) -> None:
        """Nothing is known yet."""
        self.executor = executor
        self._replay = Replay(executor)
        self._whole: dict[tuple[int, int], Form] = {}
        self._last: dict[int, tuple[Known, Time]] = {}
        self._sent: dict[MailKey, tuple[Known, int, Time]] = {}
        self._chain: dict[_Key, tuple[Known, Time]] = {}

    def run(self, turn: Turn) -> list[list[Executed]]:
        """What each block of an invocation did."""
        member = turn[0].members[0]
        form = self._whole.get((member.size, member.stage))
        if form is None:
            form = self._whole[member.size, member.stage] = self._replay.form(turn)
        if not form.replayable:
            return self._replay.run(turn)
        names = [self.executor.name(member, form.steps, number, (0, 0)) for number in form.steps.meets]
        key, before = self._key(member, form, names)
        next_one = self._chain.get(key) if key else None
        if next_one is not None:
            known, later = next_one
            by = moved(before, later)
            for name in names:
                self.executor.mail.pop(name, None)
            done = self._replay.repeat(turn, known, by, (0, 0))
        else:
            done, known, by = self._replay.replay(turn, form)
            if key:
                self._chain[key] = known, by - before
        self._note(member, known, by, list(done), names)
        return [[executed] for executed in done]

    def _key(self, member: Member, form: Form, names: list[MailKey]) -> tuple[_Key, Time]:
        """The state that an invocation finds, and how much later all of it is; empty where something is not known."""
        last = self._last.get(member.stage)
        if last is None:
            return (), 0
        known, by = last
        senders: list[object] = []
        for name in names:
            sent = self._sent.get(name)
            if sent is not None:
                senders.append((id(sent[0]), sent[1], exactly(sent[2], by)))
            elif name in self.executor.mail:
                return (), 0
            else:
                senders.append(None)
        return (id(form), id(known), *senders), by

    def _note(self, member: Member, known: Known, by: Time, done: list[Executed], names: list[MailKey]) -> None:
        self._last[member.stage] = known, by
        for name in names:
            self._sent.pop(name, None)
        for which, (index, number, _, _) in enumerate(known.posts):
            one = done[index]
            self._sent[self.executor.name(one.member, one.steps, number, one.mail_base)] = known, which, by
