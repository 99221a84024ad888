"""Arrows between slices: from a send to its receive, and from the dispatch of a layer's tokens to their combine.

Turns runs, in their order, into the arrow of each slice: its number where one begins, less than 0 where one ends. A
slice has one arrow at most. A message goes from a shown rank to the shown rank that is, or is like, the one it goes to;
between teams of unequal width, where every rank sends to every rank, from the i-th shown to the i-th shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.export.trace.slice_table import Column
from dagc.export.trace.tracks import PhaseTracks, TeamTracks
from dagc.graph.graph import Node, Template
from dagc.ops.token_exchange import Combine, Dispatch
from dagc.schedule.structure import messages, partner_of
from dagc.schedule.timeline import Run

Mask = npt.NDArray[np.bool_]
"""Which slices there are, by copy and shown rank."""

_Ends = tuple[tuple[tuple[int, int], ...], Mapping[int, bool]]
"""Nodes of a template joined within a copy, and those that match one of another invocation, with whether they send."""

_Senders = tuple[Column, Mask]
"""The sender of each shown rank of a team, by rank, and which shown ranks of the sender send."""

_Place = tuple[int, int, int, int]
"""A replica's phase by identity, step, micro-batch and stage of the sender."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """The arrows of one message by shown rank of the sender, 0 where its slice is not there."""

    team: TeamTracks
    numbers: Column


@dataclass(slots=True)
class Arrows:
    """How many there are, and messages on their way."""

    count: int = 0
    known: dict[int, _Ends] = field(default_factory=dict[int, "_Ends"])
    sent: dict[_Place, deque[_Sent]] = field(default_factory=dict[_Place, "deque[_Sent]"])
    pairs: dict[tuple[int, int], tuple[Column, Mask]] = field(
        default_factory=dict[tuple[int, int], "tuple[Column, Mask]"]
    )

    def of_run(
        self, phase: PhaseTracks, run: Run, teams: Mapping[int, TeamTracks], kept: Mapping[int, Mask]
    ) -> dict[int, Column]:
        """The arrows at each node of some copies of a run, shape (copies, shown ranks)."""
        template = phase.timeline.priced.graph.templates[run.template]
        pairs, messages = self._ends(template)
        flows: dict[int, Column] = {}
        for tail, head in pairs:
            if tail in kept and head in kept:
                self._inside(kept, tail, head, flows)
        for index, sends in messages.items():
            if index in kept:
                ends = self._send if sends else self._receive
                flows[index] = np.stack([ends(phase, run, teams[index], row) for row in kept[index]])
        return flows

    def _ends(self, template: Template) -> _Ends:
        """The pairs and messages of a template, found once."""
        if id(template) not in self.known:
            self.known[id(template)] = tuple(inner_pairs(template)), messages(template)
        return self.known[id(template)]

    def _inside(self, kept: Mapping[int, Mask], tail: int, head: int, flows: dict[int, Column]) -> None:
        shared = min(kept[tail].shape[1], kept[head].shape[1])
        both = kept[tail][:, :shared] & kept[head][:, :shared]
        numbers = self._numbers(both)
        for index, sign in ((tail, 1), (head, -1)):
            flows[index] = np.zeros(kept[index].shape, dtype=np.int64)
            flows[index][:, :shared] = sign * numbers

    def _send(self, phase: PhaseTracks, run: Run, team: TeamTracks, kept: Mask) -> Column:
        graph = phase.timeline.priced.graph
        if run.stage == len(graph.programs[0]) - 1 and run.step + 1 >= phase.timeline.steps:
            return np.zeros(kept.shape, dtype=np.int64)
        receiver = graph.programs[run.size][(run.stage + 1) % len(graph.programs[0])]
        _, claimed = self._senders(team, phase.teams[receiver.teams[0]])
        numbers = self._numbers(kept & claimed)
        place = (id(phase), run.step, run.micro_batch, run.stage)
        self.sent.setdefault(place, deque()).append(_Sent(team, numbers))
        return numbers

    def _receive(self, phase: PhaseTracks, run: Run, team: TeamTracks, kept: Mask) -> Column:
        round_, stage = divmod(run.stage - 1, len(phase.timeline.priced.graph.programs[0]))
        waiting = self.sent.get((id(phase), run.step + round_, run.micro_batch, stage))
        if not waiting:
            return np.zeros(kept.shape, dtype=np.int64)
        sent = waiting.popleft()
        senders, _ = self._senders(sent.team, team)
        return np.where(kept & (senders >= 0), -sent.numbers[senders] if sent.numbers.size else 0, 0)

    def _senders(self, sender: TeamTracks, receiver: TeamTracks) -> _Senders:
        """The sender of each shown rank of the receiver, and which of the senders' has one; found once."""
        key = sender.pid, receiver.pid
        if key not in self.pairs:
            senders = _senders(sender, receiver)
            self.pairs[key] = senders, np.isin(np.arange(sender.local.size), senders)
        return self.pairs[key]

    def _numbers(self, kept: Mask) -> Column:
        """A new number for each slice that is there."""
        numbers = np.where(kept, self.count + np.cumsum(kept).reshape(kept.shape), 0)
        self.count += int(kept.sum())
        return numbers


def _senders(sender: TeamTracks, receiver: TeamTracks) -> Column:
    """The shown rank that sends to each shown rank of the receiver, -1 where none does or it has an arrow already."""
    count = receiver.local.size
    if sender.shown_as.size == receiver.shown_as.size:
        senders = sender.shown_as[receiver.local]
    else:
        senders = np.where(np.arange(count) < sender.local.size, np.arange(count), -1)
    _, first = np.unique(senders, return_index=True)
    return np.where(np.isin(np.arange(count), first), senders, -1)


def inner_pairs(template: Template) -> Iterator[tuple[int, int]]:
    """Arrows within one copy, from node to node: messages between teams, and dispatch to combine within one."""
    dispatches: dict[str, int] = {}
    for index, node in enumerate(template.nodes):
        partner = partner_of(node)
        stream = node.key.rpartition(".")[0]
        if partner is not None:
            yield partner, index
        elif _exchanges(node) and isinstance(node.op, Dispatch):
            dispatches[stream] = index
        elif _exchanges(node) and isinstance(node.op, Combine) and stream in dispatches:
            yield dispatches.pop(stream), index


def _exchanges(node: Node) -> bool:
    """Whether it is a collective, not one end of a message."""
    return node.communication is not None and node.communication.groups.size > 1
