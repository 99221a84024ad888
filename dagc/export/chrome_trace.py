"""The timeline as a Chrome JSON trace, which Perfetto opens.

A process is one team of one phase (phase, service, pool, stage), a thread one lane of one rank that stands for all
ranks that behave alike. Phases follow each other in time. All runs of step 0 are there: every micro-batch, layer and
node that takes time; what is fused into another kernel takes none.

Times are picoseconds inside and whole nanoseconds in the file: start and end of a slice are both rounded down, so
slices that touch still touch and none overlaps its neighbour, which a reader would drop. Written in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from dagc.export.rank_classes import MOST_RANKS, RankClasses, rank_classes
from dagc.export.times import at_rank, duration_of
from dagc.export.titles import group_size, moved_bytes, phase_names, shape_text, team_of
from dagc.graph.graph import Graph, Node, Pairing, PhaseGraph
from dagc.graph.ops import COMBINE, DISPATCH, SEND, Lane
from dagc.graph.priced import NodeCost
from dagc.plan.plan import Plan
from dagc.timeline.timeline import Run, Timeline

LANES = (Lane.COMPUTE, Lane.COMMUNICATION)
_PIECE = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Process:
    """One team of one phase; threads are numbered `first_thread + 2 · class + lane`."""

    pid: int
    first_thread: int
    name: str
    classes: RankClasses

    @property
    def shown(self) -> int:
        """Classes of ranks that are drawn."""
        return min(len(self.classes.names), MOST_RANKS)

    def thread(self, index: int, lane: Lane) -> int:
        return self.first_thread + len(LANES) * index + LANES.index(lane)


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """A slice that a flow may start or end at, in nanoseconds."""

    pid: int
    tid: int
    start: int
    end: int


_Sends = dict[tuple[int, int], tuple[_Process, dict[int, _Slice]]]
"""By (micro-batch, stage): the stage's process, and its send by class of ranks."""


class _Flows:
    """Arrows between slices. Each has an id of its own; both ends have the same name and category."""

    def __init__(self) -> None:
        self._count = 0

    def arrow(self, name: str, tail: _Slice, head: _Slice) -> Iterator[str]:
        arrives = max(head.start, tail.start)
        if arrives >= head.end:
            return
        self._count += 1
        common = f'"id":{self._count},"name":"{name}","cat":"flow"'
        yield f'{{"ph":"s",{common},"pid":{tail.pid},"tid":{tail.tid},"ts":{_microseconds(tail.start)}}}'
        yield f'{{"ph":"f","bp":"e",{common},"pid":{head.pid},"tid":{head.tid},"ts":{_microseconds(arrives)}}}'


def trace_bytes(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> bytes:
    """The whole trace."""
    return b"".join(trace_pieces(plan, graph, timelines))


def trace_pieces(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> Iterator[bytes]:
    """The trace in pieces of some thousand events; JSON when joined."""
    told = {"strategy": plan.name, "gpus": plan.deployment.gpus}
    yield b'{"displayTimeUnit":"ns","otherData":' + orjson.dumps(told) + b',"traceEvents":[\n'
    piece: list[str] = []
    separator = ""
    for event in _events(graph, timelines):
        piece.append(event)
        if len(piece) == _PIECE:
            yield (separator + ",\n".join(piece)).encode()
            separator = ",\n"
            piece.clear()
    if piece:
        yield (separator + ",\n".join(piece)).encode()
    yield b"\n]}\n"


def _events(graph: Graph, timelines: tuple[Timeline, ...]) -> Iterator[str]:
    pid, thread, begin = 1, 1, 0
    flows = _Flows()
    for order, (name, timeline) in enumerate(zip(phase_names(graph), timelines, strict=True)):
        processes: list[_Process] = []
        for index, classes in enumerate(rank_classes(timeline)):
            title = _process_name(order, name, timeline.priced.graph, index)
            processes.append(_Process(pid, thread, title, classes))
            pid += 1
            thread += len(LANES) * processes[-1].shown
        for process in processes:
            yield from _names(process)
        yield from _phase_events(timeline, processes, begin, flows)
        begin += timeline.makespan


def _process_name(order: int, phase: str, graph: PhaseGraph, index: int) -> str:
    """The order of time first, because viewers sort by name: `1 prefill · main · stage 00`."""
    team = graph.teams[index]
    service = f" · {graph.service}" if graph.service != team.pool else ""
    return f"{order + 1} {phase}{service} · {team.pool} · stage {team.stage:02}"


def _names(process: _Process) -> Iterator[str]:
    yield _named("process_name", process.pid, None, {"name": process.name})
    yield _named("process_sort_index", process.pid, None, {"sort_index": process.pid})
    for index in range(process.shown):
        for lane in LANES:
            tid = process.thread(index, lane)
            title = f"{index:02} {lane.value} · {process.classes.shown_names[index]}"
            yield _named("thread_name", process.pid, tid, {"name": title})
            yield _named("thread_sort_index", process.pid, tid, {"sort_index": tid})


def _named(event: str, pid: int, tid: int | None, args: dict[str, Any]) -> str:
    where = {"pid": pid} if tid is None else {"pid": pid, "tid": tid}
    return orjson.dumps({"ph": "M", "name": event, **where, "args": args}).decode()


def _phase_events(timeline: Timeline, processes: list[_Process], begin: int, flows: _Flows) -> Iterator[str]:
    tails = [
        [_static(node, cost) for node, cost in zip(template.nodes, costs, strict=True)]
        for template, costs in zip(timeline.priced.graph.templates, timeline.priced.costs, strict=True)
    ]
    sends: _Sends = {}
    for run in timeline.runs:
        if run.step == 0:
            yield from _run_events(timeline, run, processes, begin, tails[run.template], sends, flows)


def _static(node: Node, cost: NodeCost) -> str:
    """What all slices of a node share: the tail of the event, without its layer and micro-batch."""
    args: dict[str, Any] = {
        "operator": node.op.title,
        "output": str(node.output),
        "flops": float(node.flops.max()),
        "bytes": float(moved_bytes(node).max()),
        "bound": cost.bound.value,
        "formula": cost.formula,
    }
    if node.shape:
        args["shape"] = shape_text(node)
    if node.communication:
        args["group_size"] = group_size(node)
    name = orjson.dumps(node.key).decode()
    return f'"name":{name},"cat":"{node.op.category.value}","args":{orjson.dumps(args).decode()[:-1]}'


def _run_events(
    timeline: Timeline,
    run: Run,
    processes: list[_Process],
    begin: int,
    tails: list[str],
    sends: _Sends,
    flows: _Flows,
) -> Iterator[str]:
    graph = timeline.priced.graph
    nodes = graph.templates[run.template].nodes
    teams = graph.programs[run.size][run.stage].teams
    for copy in range(run.count):
        layer = "" if run.first_layer is None else f',"layer":{run.first_layer + copy}'
        tail = f',"micro_batch":{run.micro_batch}{layer}}}}}'
        shown: dict[tuple[int, int], _Slice] = {}
        for index, node in enumerate(nodes):
            process = processes[team_of(teams, node)]
            starts, duration = run.start(copy, index), duration_of(timeline, run, copy, index)
            for which in range(process.shown):
                local = process.classes.representatives[which]
                start = begin + at_rank(starts, local)
                end = (start + at_rank(duration, local)) // 1000
                start //= 1000
                if end == start:
                    continue
                tid = process.thread(which, node.op.lane)
                shown[index, which] = _Slice(process.pid, tid, start, end)
                yield (
                    f'{{"ph":"X","pid":{process.pid},"tid":{tid},"ts":{_microseconds(start)},'
                    f'"dur":{_microseconds(end - start)},{tails[index]}{tail}'
                )
        yield from _inner_flows(nodes, shown, flows)
        yield from _stage_flows(nodes, run, processes[teams[0]], shown, sends, flows)


def _microseconds(nanoseconds: int) -> str:
    """Exact decimal: `12.345` for 12,345 ns."""
    whole, rest = divmod(nanoseconds, 1000)
    return f"{whole}.{rest:03}"


def _inner_flows(nodes: tuple[Node, ...], shown: dict[tuple[int, int], _Slice], flows: _Flows) -> Iterator[str]:
    """Within one copy: from a dispatch to its combine, and from a send to its receive on another team."""
    for tail, head, name in _inner_pairs(nodes):
        for which in range(MOST_RANKS):
            first, second = shown.get((tail, which)), shown.get((head, which))
            if first and second:
                yield from flows.arrow(name, first, second)


def _inner_pairs(nodes: tuple[Node, ...]) -> Iterator[tuple[int, int, str]]:
    dispatches: dict[str, int] = {}
    for index, node in enumerate(nodes):
        stream = node.key.rpartition(".")[0]
        if node.op is DISPATCH:
            dispatches[stream] = index
        elif node.op is COMBINE and stream in dispatches:
            yield dispatches.pop(stream), index, "dispatch to combine"
        found = node.communication
        if found and found.pairing is Pairing.TEMPLATE and found.partner is not None:
            yield found.partner, index, "send to receive"


def _stage_flows(
    nodes: tuple[Node, ...],
    run: Run,
    process: _Process,
    shown: dict[tuple[int, int], _Slice],
    sends: _Sends,
    flows: _Flows,
) -> Iterator[str]:
    """From the send of a stage to the receive of the next, for the same micro-batch and rank."""
    for index, node in enumerate(nodes):
        here = {which: shown[index, which] for which in range(process.shown) if (index, which) in shown}
        if node.op is SEND:
            sends[run.micro_batch, run.stage] = (process, here)
        elif _meets_stage(node) and (run.micro_batch, run.stage - 1) in sends:
            sender, before = sends[run.micro_batch, run.stage - 1]
            for which, head in here.items():
                tail = before.get(int(sender.classes.label[process.classes.representatives[which]]))
                if tail:
                    yield from flows.arrow("send to receive", tail, head)


def _meets_stage(node: Node) -> bool:
    return node.communication is not None and node.communication.pairing is Pairing.STAGE
