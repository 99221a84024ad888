"""Which class of replicas a deployment is judged by: in each phase the slowest.

A batch has its last first token, and its tokens their interval, when the slowest replica has. Metrics, pictures and
traces are those of that class; prefill and decode may be slowest in different ones.
"""

from __future__ import annotations

from dagc.graph.graph import Graph, PhaseGraph
from dagc.schedule.timeline import Timeline


def showing_slowest(graph: Graph, timelines: tuple[Timeline, ...]) -> Graph:
    """The graph with the slowest class of prefill and of decode in front; `timelines` are those of `graph.classes`."""
    if not graph.others:
        return graph
    return graph.showing(_slowest(graph.prefill, timelines), _slowest(graph.decode, timelines))


def _slowest(phase: PhaseGraph, timelines: tuple[Timeline, ...]) -> PhaseGraph:
    """The class of the same phase with the longest interval, then the longest makespan; the first of equals."""
    classes = [t for t in timelines if t.priced.graph.phase is phase.phase and t.priced.graph.service == phase.service]
    return max(classes, key=lambda timeline: (timeline.interval, timeline.makespan)).priced.graph
