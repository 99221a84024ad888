"""The critical path of a scheduled phase: the chain of slots that decides the end.

Walks back from the last end of step 0. At each slot some predecessor is tight: it ends just when the slot starts. A
tie goes to the data edge, then to the message, then to the lane, then to the order edge; among ranks, to the slot's
own, then to the lowest. A collective waits for the slowest of its group, so the walk goes on at that rank. A
receive is bound by its send, with which it runs at the same time. Repeated copies are walked one by one, along the
path only.

Assumes starts as the executor leaves them, so that every slot after time 0 has a tight predecessor.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.timeline.execute import Time, latest
from dagc.timeline.history import History, Slot
from dagc.timeline.timeline import PathSlot

Place = tuple[Slot, int]
"""A slot and one local rank of its team."""


def critical_path(history: History) -> tuple[PathSlot, ...]:
    """Slots from time 0 to the makespan, in the order of time."""
    place = _last(history)
    path: list[PathSlot] = []
    while place is not None:
        slot, rank = place
        start, end = _at(history.start(slot), rank), _at(history.end(slot), rank)
        path.append(PathSlot(slot.index, slot.copy, slot.node, rank, start, end))
        place = next(_tight(history, slot, rank, start), None)
    return tuple(reversed(path))


def _last(history: History) -> Place | None:
    """The first slot of step 0, in program order, that ends with the phase, and its first rank that does."""
    makespan = history.makespan
    for index, executed in enumerate(history.executed):
        if executed.member.step or history.last_ends[index] < makespan:
            continue
        for node in range(len(history.tasks_of(index).tasks)):
            slot = Slot(index, executed.count - 1, node)
            end = history.end(slot)
            if latest(end) == makespan:
                return slot, int(np.argmax(end))
    return None


def _tight(history: History, slot: Slot, rank: int, start: int) -> Iterator[Place]:
    """Predecessors that a slot waited for to its last moment, best first. None of them where it started at 0."""
    node = history.graph.templates[history.executed[slot.index].member.segment.template].nodes[slot.node]
    ranks = _waits_for(history, slot, rank)
    partner = history.task(slot).links
    data = [edge for edge in node.inputs if edge not in partner]
    order = [edge for edge in node.after if edge not in partner]
    yield from _edges(history, slot, ranks, data, start)
    yield from _message(history, slot, ranks, start)
    before = history.before_on_lane(slot)
    if before is not None:
        yield from ((before, r) for r in ranks if _at(history.end(before), r) == start)
    yield from _edges(history, slot, ranks, order, start)


def _waits_for(history: History, slot: Slot, rank: int) -> list[int]:
    """The ranks whose readiness counts: the members of the rank's group, itself first."""
    members = history.task(slot).members
    if members is None or isinstance(history.start(slot), int):
        return [rank]
    group = members[np.nonzero((members == rank).any(axis=1))[0][0]]
    return [rank, *(int(member) for member in np.sort(group) if member != rank)]


def _edges(history: History, slot: Slot, ranks: list[int], edges: list[int], start: int) -> Iterator[Place]:
    for edge in edges:
        source = history.feeder(slot, -1 - edge) if edge < 0 else Slot(slot.index, slot.copy, edge)
        if source is None:
            continue
        end = history.end(source)
        if history.team(source) == history.team(slot) and _rank_by_rank(history, slot, edge):
            yield from ((source, rank) for rank in ranks if _at(end, rank) == start)
        elif latest(end) == start:
            yield source, int(np.argmax(end))


def _rank_by_rank(history: History, slot: Slot, edge: int) -> bool:
    """A stream lives on the stage's own team; read on another it is waited for as a whole."""
    return edge >= 0 or history.task(slot).lane // 2 == 0


def _message(history: History, slot: Slot, ranks: list[int], start: int) -> Iterator[Place]:
    """The send that a receive met, by its start, or by its end less the receive's duration."""
    for link in history.task(slot).links:
        yield from _met(history, slot, Slot(slot.index, slot.copy, link), None, ranks[0], start)
    send = history.sender(slot)
    if send is not None:
        widths = [history.graph.teams[history.team(s)].width for s in (send, slot)]
        for rank in ranks:
            yield from _met(history, slot, send, rank if widths[0] == widths[1] else None, rank, start)


def _met(history: History, slot: Slot, send: Slot, source: int | None, rank: int, start: int) -> Iterator[Place]:
    """The send, if it binds a rank of the receive; `source` is the send's rank, None for its last."""
    begun, done = history.start(send), history.end(send)
    first = int(np.argmax(begun)) if source is None else source
    last = int(np.argmax(done)) if source is None else source
    if _at(begun, first) == start:
        yield send, first
    elif _at(done, last) == start + _length(history, slot, rank):
        yield send, last


def _length(history: History, slot: Slot, rank: int) -> int:
    return _at(history.task(slot).duration, rank)


def _at(time: Time, rank: int) -> int:
    if isinstance(time, int):
        return time
    return int(time[rank]) if time.shape[0] > 1 else int(time[0])
