"""Slack: how much later each operator could start without moving the end of the phase.

The latest times of a graph are the earliest times of its mirror, counted back from the end, so the executor runs
once more over mirrored tasks in reverse order. Starts of copies are explicit at the front of a segment and linear
after, latest starts explicit at the back and linear before; so the least slack over all copies is found at the
copies that are explicit in either, and this is exact.

Only step 0 counts: what follows it in a decode is not part of the end that must not move.
"""

from __future__ import annotations

import numpy as np

from dagc.timeline.components import components
from dagc.timeline.execute import Executed, Executor
from dagc.timeline.history import History
from dagc.timeline.order import Block
from dagc.timeline.replay import Replay
from dagc.timeline.steps import all_steps
from dagc.timeline.tasks import mirror

Place = tuple[int, int, int]
"""(size, stage, position) of a segment."""


def least_slack(history: History) -> dict[Place, tuple[int, ...]]:
    """Least slack of each node in picoseconds, by segment, over copies, micro-batches and ranks."""
    horizon = max((executed.last_end for executed in history.executed), default=0)
    latest = _mirrored(history, horizon)
    slack: dict[Place, list[int]] = {}
    alike: dict[tuple[int, ...], tuple[int, list[int]]] = {}
    for executed, mirrored in zip(history.executed, latest, strict=True):
        member = executed.member
        if member.step == 0:
            own = _known_slack(executed, mirrored, horizon, alike)
            known = slack.setdefault((member.size, member.stage, member.position), own)
            slack[member.size, member.stage, member.position] = [min(pair) for pair in zip(known, own, strict=True)]
    return {place: tuple(values) for place, values in sorted(slack.items())}


def _mirrored(history: History, horizon: int) -> list[Executed]:
    """The mirror of each executed segment: copies from the last, times back from `horizon`."""
    graph = history.graph
    templates = all_steps([mirror(tasks) for tasks in history.tasks], {})
    executor = Executor(templates, components(graph, templates), len(graph.teams), len(graph.programs[0]))
    replay = Replay(executor, graph)
    mirrored: list[Executed] = []
    for block in reversed(history.executed.blocks):
        members = tuple(executed.member for executed in reversed(block))
        for member in members:
            if member.step == 0:
                executor.floor(member, horizon - history.makespan)
        mirrored += replay.run((Block(members, block[0].count),))[0]
    return mirrored[::-1]


def _known_slack(
    executed: Executed, mirrored: Executed, horizon: int, alike: dict[tuple[int, ...], tuple[int, list[int]]]
) -> list[int]:
    """By node. Where both run as a pair before them did, each later by one time, all slack is less by both times."""
    constants = executed.shift, mirrored.shift, executed.later, mirrored.later
    if not all(isinstance(one, int) for one in constants):
        return _segment_slack(executed, mirrored, horizon)
    own, theirs, by = *constants[:2], constants[2] + constants[3]
    key = id(executed.kept), id(mirrored.kept), executed.count, executed.member.offset, int(own), int(theirs)
    if key not in alike:
        alike[key] = int(by), _segment_slack(executed, mirrored, horizon)
    before, known = alike[key]
    return [one + before - int(by) for one in known]


def _segment_slack(executed: Executed, mirrored: Executed, horizon: int) -> list[int]:
    """By node. Copy by copy, because what is kept of a copy is run again when another is asked for."""
    nodes = range(len(executed.steps.places))
    least: list[int] | None = None
    for copy in _breakpoints(executed.count, executed.explicit, mirrored.explicit):
        own = [_slack(executed, mirrored, copy, node, horizon) for node in nodes]
        least = own if least is None else [min(pair) for pair in zip(least, own, strict=True)]
    return least or []


def _breakpoints(count: int, front: int, back: int) -> list[int]:
    """Copies between which starts and latest starts are both linear."""
    return sorted({*range(front), *range(count - back, count)})


def _slack(executed: Executed, mirrored: Executed, copy: int, node: int, horizon: int) -> int:
    """The latest start less the start; the mirror starts where the node ends at the latest."""
    late = mirrored.start(executed.count - 1 - copy, node)
    row = executed.row(copy)
    number, which = executed.steps.places[node]
    length = executed.steps.steps[number].node_length(which, row)
    slack = horizon - late - length - executed.start(copy, node)
    return int(np.min(slack))
