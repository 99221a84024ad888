"""What the picture shows of a graph, before any drawing.

Folds: stages that are alike become one; of the layers of one kind only the first is opened into its nodes, all later
ones are a line of text. A service that does both phases is shown once, with the values of both. Of the micro-batches
the largest size is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from dagc.export.times import duration_of
from dagc.export.titles import layer_kind, phase_names, segment_title, span_text, team_of, template_name
from dagc.graph.graph import INPUT, Graph, Node, Segment, StageProgram, Team
from dagc.graph.priced import NodeCost
from dagc.ops.communication import Matching
from dagc.schedule.timeline import Run, Timeline

_Place = tuple[int, ...]
"""Position of one segment in each phase of a service, -1 where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeInPhase:
    """A node in one phase, with its cost and its team."""

    node: Node
    cost: NodeCost
    team: Team


@dataclass(frozen=True, slots=True, eq=False)
class NodeView:
    """One node to draw; `phases` has an entry for each phase of its service, None where it has no such node."""

    key: str
    phases: tuple[NodeInPhase | None, ...]
    critical: bool

    @property
    def one(self) -> NodeInPhase:
        """The node in the first phase that has it."""
        return next(shown for shown in self.phases if shown is not None)


@dataclass(frozen=True, slots=True)
class EdgeView:
    """An edge between nodes of one segment, by key. `kind` is `data`, `order` or `transfer`.

    `critical` when the critical path of any phase goes along it.
    """

    tail: str
    head: str
    kind: str
    critical: bool


@dataclass(frozen=True, slots=True, eq=False)
class SegmentView:
    """One segment; `nodes` is empty when it is folded. `copy_ps` is one copy's time by phase.

    `places` are its position in the stage's program of each phase, -1 where it has none; of several folded together,
    one entry each.
    """

    title: str
    kind: str
    is_layer: bool
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    copy_ps: tuple[int | None, ...]
    count: int
    critical: bool
    places: tuple[_Place, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StageView:
    """Stages that are alike. `teams` are those of the first of them."""

    title: str
    count: int
    teams: tuple[Team, ...]
    segments: tuple[SegmentView, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ServiceView:
    """One service with the names of its phases, and the GPUs of one replica of it."""

    name: str
    gpus: int
    phases: tuple[str, ...]
    stages: tuple[StageView, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _PhaseIndex:
    """A timeline with what is looked up often."""

    timeline: Timeline
    critical: frozenset[tuple[int, int, int]]
    steps: frozenset[tuple[int, int, int, int]]
    first_runs: dict[tuple[int, int], Run]

    def program(self, stage: int) -> StageProgram:
        return self.timeline.priced.graph.programs[0][stage]

    def segment(self, stage: int, position: int) -> Segment:
        return self.program(stage).segments[position]


def services(graph: Graph, timelines: tuple[Timeline, ...]) -> tuple[ServiceView, ...]:
    """The services in the order of time; the KV-cache transfer, where there is one, is a service of its own."""
    named = [(timeline.priced.graph.service, name, _index(timeline)) for name, timeline in zip(
        phase_names(graph), timelines, strict=True)]  # fmt: skip
    return tuple(_service(service, tuple(group)) for (service, _), group in groupby(named, key=_owner))


def _owner(entry: tuple[str, str, _PhaseIndex]) -> tuple[str, bool]:
    """Service of a phase; the KV-cache transfer is apart from the service that does it."""
    service, phase, _ = entry
    return service, phase == "handover"


def _index(timeline: Timeline) -> _PhaseIndex:
    """`critical` holds (stage, position, node), `steps` (stage, position, node, next node in the same copy)."""
    runs = timeline.runs
    critical = frozenset(node[1:] for node in timeline.path.nodes if node[0] == 0)
    steps = frozenset(edge[1:] for edge in timeline.path.edges if edge[0] == 0)
    first: dict[tuple[int, int], Run] = {}
    for run in runs:
        if run.size == 0:
            first.setdefault((run.stage, run.position), run)
    return _PhaseIndex(timeline, critical, steps, first)


def _service(name: str, entries: tuple[tuple[str, str, _PhaseIndex], ...]) -> ServiceView:
    phases = tuple(index for _, _, index in entries)
    drawn: set[str] = set()
    stages: list[StageView] = []
    every = range(len(phases[0].timeline.priced.graph.programs[0]))
    for _, alike in groupby(every, key=lambda stage: _signature(phases, stage)):
        stages.append(_stage(phases, tuple(alike), drawn))
    gpus = sum(team.width for team in phases[0].timeline.priced.graph.teams)
    return ServiceView(name, gpus, tuple(phase for _, phase, _ in entries), tuple(stages))


def _signature(phases: tuple[_PhaseIndex, ...], stage: int) -> tuple[object, ...]:
    """Equal for stages that are drawn as one."""
    programs = (phase.program(stage) for phase in phases)
    return tuple(
        tuple((template_name(index.timeline.priced.graph.templates[s.template]), s.count) for s in program.segments)
        for index, program in zip(phases, programs, strict=True)
    )


def _stage(phases: tuple[_PhaseIndex, ...], alike: tuple[int, ...], drawn: set[str]) -> StageView:
    stage = alike[0]
    title = span_text("stage", stage, alike[-1])
    if len(alike) > 1:
        title += f", {len(alike)} alike"
    graph = phases[0].timeline.priced.graph
    teams = tuple(graph.teams[team] for team in phases[0].program(stage).teams)
    segments = [_segment(phases, stage, place, drawn, len(alike) > 1) for place in _places(phases, stage)]
    return StageView(title, len(alike), teams, tuple(_fold(segments)))


def _places(phases: tuple[_PhaseIndex, ...], stage: int) -> list[_Place]:
    """Segments of all phases in one order, those that are the same one joined."""
    positions: list[dict[str, int]] = []
    for phase in phases:
        templates = phase.timeline.priced.graph.templates
        named = enumerate(phase.program(stage).segments)
        positions.append({_segment_key(segment, template_name(templates[segment.template])): i for i, segment in named})
    keys = _joined(positions)
    return [tuple(known.get(key, -1) for known in positions) for key in keys]


def _segment_key(segment: Segment, name: str) -> str:
    return name if segment.first_layer is None else f"layer {segment.first_layer}"


def _joined(lists: Iterable[Iterable[str]]) -> list[str]:
    """Keys of several lists in one order; a new key is right after the one that it follows in its own list."""
    merged: list[str] = []
    for keys in lists:
        place = 0
        for key in keys:
            if key in merged:
                place = merged.index(key) + 1
            else:
                merged.insert(place, key)
                place += 1
    return merged


def _segment(
    phases: tuple[_PhaseIndex, ...], stage: int, place: _Place, drawn: set[str], folded_stage: bool
) -> SegmentView:
    which = next(i for i, position in enumerate(place) if position >= 0)
    segment = phases[which].segment(stage, place[which])
    template = phases[which].timeline.priced.graph.templates[segment.template]
    kind, is_layer = layer_kind(template), segment.first_layer is not None
    is_open = not is_layer or kind not in drawn
    if is_layer:
        drawn.add(kind)
    nodes = _nodes(phases, stage, place)
    in_each = f"{kind} layers, ×{segment.count} in each"
    title = in_each if is_layer and folded_stage else segment_title(template, segment)
    times = tuple(_copy_ps(phase, stage, position) for phase, position in zip(phases, place, strict=True))
    critical = any(node.critical for node in nodes)
    edges = _edges(phases, stage, place) if is_open else ()
    return SegmentView(title, kind, is_layer, nodes if is_open else (), edges, times, segment.count, critical, (place,))


def _nodes(phases: tuple[_PhaseIndex, ...], stage: int, place: _Place) -> tuple[NodeView, ...]:
    by_phase = [_by_key(phase, stage, position) for phase, position in zip(phases, place, strict=True)]
    return tuple(
        NodeView(
            key,
            tuple(found[key][0] if key in found else None for found in by_phase),
            any(key in found and found[key][1] for found in by_phase),
        )
        for key in _joined(by_phase)
    )


def _by_key(phase: _PhaseIndex, stage: int, position: int) -> dict[str, tuple[NodeInPhase, bool]]:
    if position < 0:
        return {}
    priced, program = phase.timeline.priced, phase.program(stage)
    number = program.segments[position].template
    pairs = zip(priced.graph.templates[number].nodes, priced.costs[number], strict=True)
    return {
        node.key: (
            NodeInPhase(node, cost, priced.graph.teams[team_of(program.teams, node)]),
            (stage, position, index) in phase.critical,
        )
        for index, (node, cost) in enumerate(pairs)
    }


def _edges(phases: tuple[_PhaseIndex, ...], stage: int, place: _Place) -> tuple[EdgeView, ...]:
    """Edges of the segment in any phase; an order that data already imposes is left out."""
    found: dict[tuple[str, str], tuple[str, bool]] = {}
    for phase, position in zip(phases, place, strict=True):
        if position < 0:
            continue
        nodes = phase.timeline.priced.graph.templates[phase.segment(stage, position).template].nodes
        for tail, head, kind in _template_edges(nodes):
            pair = (nodes[tail].key, nodes[head].key)
            known, critical = found.get(pair, (kind, False))
            found[pair] = (known, critical or (stage, position, tail, head) in phase.steps)
    return tuple(EdgeView(tail, head, kind, critical) for (tail, head), (kind, critical) in found.items())


def _template_edges(nodes: tuple[Node, ...]) -> Iterator[tuple[int, int, str]]:
    """Data and transfers, and those order edges that no path of data implies."""
    before: list[int] = []
    for head, node in enumerate(nodes):
        message = node.communication
        partner = message.partner if message is not None and message.matching is Matching.TEMPLATE else None
        sender = () if partner is None else (partner,)
        yield from ((tail, head, "transfer") for tail in sender)
        tails = [tail for tail in (*node.inputs, *sender) if tail > INPUT]
        yield from ((tail, head, "data") for tail in node.inputs if tail > INPUT)
        reached = 0
        for tail in tails:
            reached |= before[tail] | 1 << tail
        for tail in node.after:
            if tail > INPUT and not reached >> tail & 1:
                yield tail, head, "order"
        before.append(reached)


def _copy_ps(phase: _PhaseIndex, stage: int, position: int) -> int | None:
    """Time of the first copy of a segment, from its first start to its last end."""
    run = phase.first_runs.get((stage, position))
    if run is None:
        return None
    nodes = range(len(phase.timeline.priced.costs[run.template]))
    starts = [run.start(0, node) for node in nodes]
    ends = [start + duration_of(phase.timeline, run, 0, node) for node, start in enumerate(starts)]
    return max(int(end.max()) for end in ends) - min(int(start.min()) for start in starts)


def _fold(segments: list[SegmentView]) -> Iterator[SegmentView]:
    """Folded segments that follow each other become one: alternating layers would be a long row of boxes."""

    def is_folded(segment: SegmentView) -> bool:
        return not segment.nodes

    for folded, group in groupby(segments, key=is_folded):
        members = list(group)
        if not folded or len(members) == 1:
            yield from members
            continue
        for kind in dict.fromkeys(segment.kind for segment in members):
            yield _together(kind, [segment for segment in members if segment.kind == kind])


def _together(kind: str, members: list[SegmentView]) -> SegmentView:
    count = sum(member.count for member in members)
    critical, places = any(m.critical for m in members), tuple(place for m in members for place in m.places)
    title = f"{count} more {kind} layers" if len(members) > 1 else members[0].title
    return SegmentView(title, kind, True, (), (), members[0].copy_ps, count, critical, places)
