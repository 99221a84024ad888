"""A critical path becomes the time of each operator on it.

A receive runs beside its send, and both are on the path: time that was counted already is not counted again, so that
the operators' times sum to the length of the path, the makespan of the phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dagc.graph.priced import PICOSECONDS
from dagc.timeline.timeline import Timeline


def operator_seconds(timeline: Timeline) -> Mapping[str, float]:
    """Seconds on the critical path by key of the operator, in the order in which they first stand there."""
    templates, runs = timeline.priced.graph.templates, timeline.runs
    names = [[_operator(node.key) for node in template.nodes] for template in templates]
    time_by_key: Counter[str] = Counter()
    covered = 0
    for slot in timeline.path:
        time_by_key[names[runs[slot.run].template][slot.node]] += max(0, slot.end - max(slot.start, covered))
        covered = max(covered, slot.end)
    return {key: time / PICOSECONDS for key, time in time_by_key.items()}


def _operator(key: str) -> str:
    """The key without the stream that the node belongs to."""
    return key.removeprefix("a.").removeprefix("b.")
