"""The graph as node-link data, which networkx reads back.

One JSON node for each (phase, size of micro-batch, stage, segment, node of its template): layers alike are one
segment and occur once, with their count. Edges say what they are: `data` and `order` inside a template, `sequence`
from a segment to the next, `transfer` from a send to its receive, `cache` from one phase to the next through the KV
cache. At most one edge joins two nodes, the first of these kinds in the order transfer, data, cache, sequence, order.
The send that closes the loop of decode steps is no edge (the graph is acyclic) but `previous_step` of its receive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dagc.export.titles import group_size, moved_bytes, phase_names, rank_text, shape_text, team_of, total
from dagc.graph.graph import INPUT, Graph, Node, PhaseGraph, Segment, StageProgram
from dagc.graph.priced import PICOSECONDS
from dagc.ops.communication import Matching, Pattern
from dagc.ops.message import Send
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline
from dagc.source import Span

SCHEMA_VERSION = 1
KINDS = ("transfer", "data", "cache", "sequence", "order")
"""Kinds of edges; the earlier one is taken where two would join the same nodes."""

Edge = tuple[str, str, str]
"""From, to, kind."""


@dataclass(frozen=True, slots=True, eq=False)
class _Phase:
    """One phase under its name, with what is looked up a node."""

    name: str
    graph: PhaseGraph
    timeline: Timeline
    critical: frozenset[tuple[int, int, int, int]]

    def identity(self, size: int, stage: int, position: int, node: int) -> str:
        segment = self.graph.programs[size][stage].segments[position]
        template = self.graph.templates[segment.template]
        return f"{self.name}/{size}/stage{stage}/{position}:{template.key}/{template.nodes[node].key}"


def to_node_link(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> dict[str, Any]:
    """JSON-able data with the keys `directed`, `multigraph`, `graph`, `nodes`, `edges`; times in seconds."""
    phases = tuple(
        _Phase(name, phase, timeline, timeline.path.nodes)
        for name, phase, timeline in zip(phase_names(graph), graph.phases, timelines, strict=True)
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "directed": True,
        "multigraph": False,
        "graph": {
            "strategy": plan.name,
            "gpus": plan.deployment.gpus,
            "replicas": graph.replicas,
            "phases": [_phase_data(phase) for phase in phases],
        },
        "nodes": [node for phase in phases for node in _nodes(phase)],
        "edges": [{"source": a, "target": b, "kind": kind} for a, b, kind in _single(_all_edges(phases))],
    }


def graph_bytes(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> bytes:
    """`to_node_link` as UTF-8 JSON."""
    import orjson

    return orjson.dumps(to_node_link(plan, graph, timelines), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _phase_data(phase: _Phase) -> dict[str, Any]:
    graph, timeline = phase.graph, phase.timeline
    return {
        "name": phase.name,
        "service": graph.service,
        "seconds": timeline.makespan / PICOSECONDS,
        "interval_seconds": timeline.interval / PICOSECONDS,
        "micro_batches": list(graph.uses),
        "sequences": list(graph.sequences),
        "executions": graph.executions,
    }


def _nodes(phase: _Phase) -> Iterator[dict[str, Any]]:
    for size, program, position, segment in phase.graph.segments():
        template = phase.graph.templates[segment.template]
        slack = phase.timeline.slack.get((size, program.stage, position))
        for index, node in enumerate(template.nodes):
            yield {
                "id": phase.identity(size, program.stage, position, index),
                **_place(phase, size, program, position, segment),
                **_operator(phase, program, node),
                **_cost(phase, segment.template, index),
                "slack_seconds": None if slack is None else slack[index] / PICOSECONDS,
                "on_critical_path": (size, program.stage, position, index) in phase.critical,
                "fused_into": None if node.fused_into is None else template.nodes[node.fused_into].key,
                "previous_step": _previous_step(phase, size, node),
                "span": _span(node.span),
            }


def _place(phase: _Phase, size: int, program: StageProgram, position: int, segment: Segment) -> dict[str, Any]:
    return {
        "phase": phase.name,
        "service": phase.graph.service,
        "size": size,
        "sequences": phase.graph.sequences[size],
        "micro_batches": phase.graph.uses[size],
        "stage": program.stage,
        "segment": position,
        "template": phase.graph.templates[segment.template].key,
        "layers": {"first": segment.first_layer, "count": segment.count},
    }


def _operator(phase: _Phase, program: StageProgram, node: Node) -> dict[str, Any]:
    team = phase.graph.teams[team_of(program.teams, node)]
    moved = moved_bytes(node)
    return {
        "key": node.key,
        "op": node.op.name,
        "title": node.op.title,
        "category": node.op.category.value,
        "lane": node.op.lane.value,
        "pool": team.pool,
        "gpus": team.width,
        "ranks": rank_text(team.ranks),
        "group_size": group_size(node),
        "dtype": node.dtype.value,
        "shape": shape_text(node),
        "output": str(node.output),
        "flops_per_rank": float(node.flops.max()),
        "flops_total": total(node.flops, team.width),
        "bytes_per_rank": float(moved.max()),
        "bytes_total": total(moved, team.width),
    }


def _cost(phase: _Phase, template: int, node: int) -> dict[str, Any]:
    cost = phase.timeline.priced.costs[template][node]
    return {
        "seconds": cost.longest / PICOSECONDS,
        "bound": cost.bound.value,
        "formula": cost.formula,
        "source": cost.source,
    }


def _previous_step(phase: _Phase, size: int, node: Node) -> str | None:
    """The send of the last stage that a receive of the first matches, one step earlier."""
    if not _is(node, Pattern.RECEIVE, Matching.STEP):
        return None
    last = len(phase.graph.programs[size]) - 1
    return next(_sends(phase, size, last), None)


def _span(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    place = {"line": line, "column": column, "end_line": end_line, "end_column": end_column}
    return {"source": span.source.name, **place, "text": span.text}


def _single(edges: Iterable[Edge]) -> list[Edge]:
    """One edge for each pair of nodes, in the order of `KINDS` where there are several; order of first sight."""
    kinds: dict[tuple[str, str], str] = {}
    for tail, head, kind in edges:
        known = kinds.setdefault((tail, head), kind)
        if KINDS.index(kind) < KINDS.index(known):
            kinds[tail, head] = kind
    return [(tail, head, kind) for (tail, head), kind in kinds.items()]


def _all_edges(phases: tuple[_Phase, ...]) -> Iterator[Edge]:
    for phase in phases:
        yield from _edges(phase)
    if len(phases) == 3:
        yield from _cache_edges(*phases)


def _edges(phase: _Phase) -> Iterator[Edge]:
    for size, program, position, segment in phase.graph.segments():
        template = phase.graph.templates[segment.template]
        for index, node in enumerate(template.nodes):
            here = phase.identity(size, program.stage, position, index)
            yield from ((tail, here, "transfer") for tail in _senders(phase, size, program, position, node))
            sources = (*((i, "data") for i in node.inputs), *((i, "order") for i in node.after))
            for source, kind in sources:
                tails = _tails(phase, size, program, position, source)
                yield from ((tail, here, "sequence" if source <= INPUT else kind) for tail in tails)


def _tails(phase: _Phase, size: int, program: StageProgram, position: int, index: int) -> tuple[str, ...]:
    """Where an input comes from: a node of the template, or a stream of the segment before it."""
    if index > INPUT:
        return (phase.identity(size, program.stage, position, index),)
    if position == 0:
        return ()
    before = phase.graph.templates[program.segments[position - 1].template].outputs
    stream = INPUT - index
    yielded = (before[stream],) if stream < len(before) and len(before) > 1 else before
    return tuple(phase.identity(size, program.stage, position - 1, node) for node in yielded)


def _senders(phase: _Phase, size: int, program: StageProgram, position: int, node: Node) -> tuple[str, ...]:
    communication = node.communication
    if communication is None or communication.pattern is not Pattern.RECEIVE:
        return ()
    if communication.matching is Matching.TEMPLATE and communication.partner is not None:
        return (phase.identity(size, program.stage, position, communication.partner),)
    if communication.matching is Matching.STAGE and program.stage > 0:
        return tuple(_sends(phase, size, program.stage - 1))
    return ()


def _sends(phase: _Phase, size: int, stage: int) -> Iterator[str]:
    """Sends of a stage to another: those to another team of the same template are dispatches and combines."""
    for position, segment in enumerate(phase.graph.programs[size][stage].segments):
        for index, node in enumerate(phase.graph.templates[segment.template].nodes):
            if isinstance(node.op, Send):
                yield phase.identity(size, stage, position, index)


def _is(node: Node, pattern: Pattern, matching: Matching) -> bool:
    found = node.communication
    return found is not None and found.pattern is pattern and found.matching is matching


def _cache_edges(prefill: _Phase, handover: _Phase, decode: _Phase) -> Iterator[Edge]:
    """From the end of a prefill stage to its cache transfer, and from what a decode stage receives to its beginning."""
    for program in handover.graph.programs[0]:
        ends = tuple(_ends(prefill, program.stage))
        yield from ((tail, head, "cache") for tail in ends for head in _begins(handover, program.stage))
        for position, segment in enumerate(program.segments):
            for index, node in enumerate(handover.graph.templates[segment.template].nodes):
                if _is(node, Pattern.RECEIVE, Matching.TEMPLATE):
                    tail = handover.identity(0, program.stage, position, index)
                    stage = handover.graph.teams[team_of(program.teams, node)].stage
                    yield from ((tail, head, "cache") for head in _begins(decode, stage))


def _ends(phase: _Phase, stage: int) -> Iterator[str]:
    """What the last segment of a stage yields."""
    position = len(phase.graph.programs[0][stage].segments) - 1
    template = phase.graph.templates[phase.graph.programs[0][stage].segments[position].template]
    yield from (phase.identity(0, stage, position, node) for node in dict.fromkeys(template.outputs))


def _begins(phase: _Phase, stage: int) -> Iterator[str]:
    """Nodes of the first segment of a stage that wait for no other of it."""
    template = phase.graph.templates[phase.graph.programs[0][stage].segments[0].template]
    for index, node in enumerate(template.nodes):
        partner = node.communication.partner if node.communication else None
        if partner is None and all(source <= INPUT for source in (*node.inputs, *node.after)):
            yield phase.identity(0, stage, 0, index)
