"""How large the expansion of a phase is, without making it.

Slots are operator executions x ranks x replicas, from the grouped graph alone. Rows and edges are those of the
expansion of one replica: its slots, virtual rows, and slots of the next decode step that share a lane with the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.graph.graph import PhaseGraph
from dagc.schedule.rows import chunks

_ROW_BYTES = 4 * 2 + 2 * 1 + 3 * 4 + 8 + 8
"""Four columns of 2 bytes, two of 1, three of 4, duration, first edge."""


@dataclass(frozen=True, slots=True)
class SlotCount:
    """`slots` over all replicas of the class; `rows`, `edges` and `bytes` of the columns of one replica."""

    slots: int
    replicas: int
    rows: int
    edges: int
    bytes: int


def executions(graph: PhaseGraph) -> tuple[int, ...]:
    """Operator executions of one replica on each rank of a team, by team, in step 0."""
    uses = graph.uses
    found = [0] * len(graph.teams)
    for size, program, _, segment in graph.segments():
        for node in graph.templates[segment.template].nodes:
            found[program.teams[node.team]] += uses[size] * segment.count
    return tuple(found)


def slots(graph: PhaseGraph) -> int:
    """Operator executions x ranks of one replica, step 0."""
    return sum(times * team.width for times, team in zip(executions(graph), graph.teams, strict=True))


def count(graph: PhaseGraph) -> SlotCount:
    """The size of a phase."""
    rows = edges = 0
    for chunk in chunks(graph):
        rows += chunk.rows * chunk.times
        edges += chunk.edges * chunk.times
    source = 4 if rows < 2**31 else 8
    replicas = len(graph.replicas)
    return SlotCount(slots(graph) * replicas, replicas, rows, edges, _ROW_BYTES * rows + 8 + source * edges)
