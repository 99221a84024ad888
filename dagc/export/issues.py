"""The issues of a phase as objects, for what walks them one by one; `dagc.schedule.program` has them as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from dagc.graph.graph import PhaseGraph, Segment, StageProgram
from dagc.ops.op import Lane
from dagc.schedule.order import lock_step, order_of, periods_of_first_step


class Issue(NamedTuple):
    """Copies of a segment, from copy `offset` of it on, of one invocation."""

    step: int
    micro_batch: int
    size: int
    stage: int
    position: int
    offset: int
    segment: Segment
    program: StageProgram

    @property
    def invocation(self) -> tuple[int, int, int]:
        """(step, micro-batch, stage): what shares one set of streams."""
        return self.step, self.micro_batch, self.stage


@dataclass(frozen=True, slots=True)
class IssueGroup:
    """Issues in lock step, copy by copy, `count` copies each."""

    issues: tuple[Issue, ...]
    count: int

    def lanes(self, graph: PhaseGraph) -> list[tuple[int, Lane]]:
        """Teams of the phase and their lanes that a copy runs on."""
        found = {
            (issue.program.teams[node.team], node.op.lane)
            for issue in self.issues
            for node in graph.templates[issue.segment.template].nodes
        }
        return sorted(found)


def issue_groups(graph: PhaseGraph, period: int) -> Iterator[IssueGroup]:
    """The issue groups of one period, in order."""
    invocations = order_of(graph).invocations(graph, period)
    rows: list[list[int]] = np.stack(invocations, axis=1).tolist()
    for _, wave in groupby(rows, key=lambda row: row[0]):
        places = [(step, batch, graph.micro_batches[batch], stage) for _, step, batch, stage in wave]
        programs = [graph.programs[size][stage] for _, _, size, stage in places]
        for parts, count in lock_step([[segment.count for segment in program.segments] for program in programs]):
            issues = [
                Issue(*places[number], position, offset, programs[number].segments[position], programs[number])
                for number, position, offset in parts
            ]
            yield IssueGroup(tuple(issues), count)


def groups_of_first_step(graph: PhaseGraph) -> list[IssueGroup]:
    """The issue groups up to the last that step 0 is in, in order."""
    groups = [group for period in range(periods_of_first_step(graph)) for group in issue_groups(graph, period)]
    while groups and all(issue.step > 0 for issue in groups[-1].issues):
        groups.pop()
    return groups
