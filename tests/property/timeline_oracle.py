"""A schedule computed rank by rank and slot by slot, as plainly as it can be said.

Every execution of every node on every rank is one entry of a dictionary. Written from the meaning of the graph alone,
to be compared with the grouped schedule; it shares no code with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dagc.graph.priced import PricedPhase
from dagc.ops.communication import Matching, Pattern
from dagc.plan.deployment import Phase

Key = tuple[int, int, int, int, int, int]
"""(step, micro-batch, stage, position, copy, node)."""


@dataclass
class Expanded:
    """Starts and ends by rank of every slot, and the delays that were asked for."""

    priced: PricedPhase
    steps: int = 1
    delays: dict[tuple[Key, int], int] = field(default_factory=dict)
    own_ready: dict[Key, list[int]] = field(default_factory=dict)
    starts: dict[Key, list[int]] = field(default_factory=dict)
    ends: dict[Key, list[int]] = field(default_factory=dict)
    lanes: dict[tuple[int, int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _, step, micro_batch, stage, index in sorted(self._copies()):
            self._copy(step, micro_batch, stage, index)

    def makespan(self, step: int = 0) -> int:
        return max(max(ends) for key, ends in self.ends.items() if key[0] == step)

    def _copies(self):
        graph = self.priced.graph
        batches, stages = len(graph.micro_batches), len(graph.programs[0])
        teams = [team for program in graph.programs[0] for team in program.teams]
        shared = len(set(teams)) < len(teams)
        apart = max(batches, stages)
        for step in range(self.steps):
            for batch in range(batches):
                for stage in range(stages):
                    for index in range(len(self._sequence(batch, stage))):
                        if shared:
                            yield (step * apart + batch + stage, index, stage), step, batch, stage, index
                        else:
                            yield (step, batch, stage, index), step, batch, stage, index

    def _sequence(self, batch: int, stage: int) -> list[tuple[int, int]]:
        """(position, copy) of every copy of a stage's program, in order."""
        program = self._program(batch, stage)
        return [(p, c) for p, segment in enumerate(program.segments) for c in range(segment.count)]

    def _program(self, batch: int, stage: int):
        graph = self.priced.graph
        return graph.programs[graph.micro_batches[batch]][stage]

    def _copy(self, step: int, batch: int, stage: int, index: int) -> None:
        program = self._program(batch, stage)
        position, copy = self._sequence(batch, stage)[index]
        number = program.segments[position].template
        for n, node in enumerate(self.priced.graph.templates[number].nodes):
            team = program.teams[node.team]
            width = self.priced.graph.teams[team].width
            key = (step, batch, stage, position, copy, n)
            times = np.atleast_2d(self.priced.costs[number][n].duration)
            times = times[copy % len(times)]
            durations = [int(times[r % len(times)]) for r in range(width)]
            ready = [self._ready(key, index, node, team, r, width, durations[r]) for r in range(width)]
            self.own_ready[key] = ready
            ready = [t + self.delays.get((key, r), 0) for r, t in enumerate(ready)]
            if node.communication and node.communication.groups.size > 1:
                for group in node.communication.groups.members.tolist():
                    last = max(ready[r] for r in group)
                    for r in group:
                        ready[r] = last
            self.starts[key] = ready
            self.ends[key] = [t + d for t, d in zip(ready, durations, strict=True)]
            for r in range(width):
                self.lanes[team, r, node.op.lane] = self.ends[key][r]

    def _ready(self, key: Key, index: int, node, team: int, rank: int, width: int, duration: int) -> int:
        times = [self.lanes.get((team, rank, node.op.lane), 0)]
        talk = node.communication
        partner = talk.partner if talk and talk.matching is Matching.TEMPLATE else None
        for edge in (*node.inputs, *node.after):
            if edge != partner:
                times.append(self._edge(key, index, node.team, edge, rank))
        if talk and talk.pattern is Pattern.RECEIVE:
            send = (*key[:5], partner) if partner is not None else self._other(key)
            if send in self.starts:
                begun, done = self.starts[send], self.ends[send]
                if partner is not None:
                    begun, done = [max(begun)] * width, [max(done)] * width
                times += [begun[rank], done[rank] - duration]
        return max(times)

    def _edge(self, key: Key, index: int, local_team: int, edge: int, rank: int) -> int:
        step, batch, stage, position, copy, _ = key
        if edge >= 0:
            source = (step, batch, stage, position, copy, edge)
        else:
            source = self._stream(step, batch, stage, index, -1 - edge)
            if source is None:
                return 0
        program = self._program(source[1], source[2])
        template = self.priced.graph.templates[program.segments[source[3]].template]
        source_team = template.nodes[source[5]].team
        alike = source_team == local_team and (edge >= 0 or local_team == 0)
        return self.ends[source][rank] if alike else max(self.ends[source])

    def _stream(self, step: int, batch: int, stage: int, index: int, stream: int) -> Key | None:
        if index == 0:
            if len(self.priced.graph.programs[0]) > 1 or step == 0:
                return None
            step, index = step - 1, len(self._sequence(batch, stage))
        position, copy = self._sequence(batch, stage)[index - 1]
        segment = self._program(batch, stage).segments[position]
        outputs = self.priced.graph.templates[segment.template].outputs
        return (step, batch, stage, position, copy, outputs[stream])

    def _other(self, key: Key) -> Key | None:
        """The send that a receive meets: these graphs have at most one of each in a program."""
        step, batch, stage = key[:3]
        step, stage = (step - 1, len(self.priced.graph.programs[0]) - 1) if stage == 0 else (step, stage - 1)
        for position, segment in enumerate(self._program(batch, stage).segments):
            nodes = self.priced.graph.templates[segment.template].nodes
            partners = {node.communication.partner for node in nodes if node.communication}
            for n, node in enumerate(nodes):
                if node.communication and node.communication.pattern is Pattern.SEND and n not in partners:
                    return (step, batch, stage, position, segment.count - 1, n)
        return None


def steps_for(priced: PricedPhase, steps: int) -> int:
    """Steps that make sense for a phase."""
    return steps if priced.graph.phase is Phase.DECODE else 1
