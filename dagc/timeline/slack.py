"""Slack: how much later each operator could start without moving the end of the phase.

The latest times of a graph are the earliest times of its mirror, counted back from the end, so the executor runs
once more over mirrored tasks in reverse order. Starts of copies are explicit at the front of a segment and linear
after, latest starts explicit at the back and linear before; so the least slack over all copies is found at the
copies that are explicit in either, and this is exact.

Only step 0 counts: what follows it in a decode is not part of the end that must not move.
"""

from __future__ import annotations

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.timeline.execute import Executed, Executor
from dagc.timeline.history import History, Slot
from dagc.timeline.order import Block
from dagc.timeline.tasks import mirror

Place = tuple[int, int, int]
"""(size, stage, position) of a segment."""


def least_slack(history: History, graph: PhaseGraph) -> dict[Place, tuple[int, ...]]:
    """Least slack of each node in picoseconds, by segment, over copies, micro-batches and ranks."""
    horizon = max(history.last_ends, default=0)
    latest = _mirrored(history, graph, horizon)
    slack: dict[Place, list[int]] = {}
    for index, (executed, mirrored) in enumerate(zip(history.executed, latest, strict=True)):
        member = executed.member
        if member.step == 0:
            own = _segment_slack(history, index, mirrored, horizon)
            known = slack.setdefault((member.size, member.stage, member.position), own)
            slack[member.size, member.stage, member.position] = [min(pair) for pair in zip(known, own, strict=True)]
    return {place: tuple(values) for place, values in sorted(slack.items())}


def _mirrored(history: History, graph: PhaseGraph, horizon: int) -> list[Executed]:
    """The mirror of each executed segment: copies from the last, times back from `horizon`."""
    executor = Executor([mirror(tasks) for tasks in history.tasks], len(graph.teams), len(graph.programs[0]))
    mirrored: list[Executed] = []
    for block in reversed(history.blocks):
        members = tuple(executed.member for executed in reversed(block))
        for member in members:
            if member.step == 0:
                executor.floor(member, horizon - history.makespan)
        mirrored += executor.run(Block(members, block[0].count))
    return mirrored[::-1]


def _segment_slack(history: History, index: int, mirrored: Executed, horizon: int) -> list[int]:
    executed = history.executed[index]
    copies = _breakpoints(executed.count, len(executed.starts), len(mirrored.starts))
    return [
        min(_slack(history, Slot(index, copy, task.node), mirrored, horizon) for copy in copies)
        for task in history.tasks_of(index).tasks
    ]


def _breakpoints(count: int, front: int, back: int) -> list[int]:
    """Copies between which starts and latest starts are both linear."""
    return sorted({*range(front), *range(count - back, count)})


def _slack(history: History, slot: Slot, mirrored: Executed, horizon: int) -> int:
    executed = history.executed[slot.index]
    latest_end = horizon - mirrored.start(executed.count - 1 - slot.copy, slot.node)
    slack = latest_end - history.end(slot)
    return slack if isinstance(slack, int) else int(np.min(slack))
