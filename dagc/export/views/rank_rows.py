"""What the ranks of one group hold and do: a row for each load that occurs, and a row of GPUs for each node.

Loads are vectors over the ranks of a stage; ranks with the same load and memory are one row. Nodes are shown one by
one where there are few, else those whose GPUs have the same loads are one. Layers of one kind that differ are shown in
the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.cost.memory import PoolMemory
from dagc.degrees import AxisKind
from dagc.export.titles import rank_text
from dagc.export.views.strategy import Served, StrategyView
from dagc.graph.graph import Segment, StageProgram, Team
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.load import Load, max_rank
from dagc.ops.op import Lane
from dagc.plan.deployment import Pool, Role
from dagc.plan.layout import Layout, Ranks
from dagc.plan.plan import Plan
from dagc.plan.splits import experts_per_rank, sequences_per_rank
from dagc.schedule.timeline import Timeline
from dagc.units import counted

MOST_ROWS = 12
"""Different loads that are listed."""

SLOWEST, FASTEST = 8, 3
"""Rows that stay where there are more; one row has the mean of those between."""

MOST_APART = 4
"""Nodes that are drawn one by one; of more, those whose GPUs have the same loads are one."""

MOST_NODES = 32
"""Rows of GPUs; of more, those with the slowest ranks stay."""

MOST_GPUS = 16
"""GPUs in a row; a node with more has several rows."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PhaseLoad:
    """Work of one rank in one layer: pairs of token and expert, and the time that it computes, in picoseconds."""

    tokens: float
    picoseconds: float


@dataclass(frozen=True, slots=True)
class RankRow:
    """One rank, or `count` ranks: with equal loads, or those between the slowest and the fastest, in the mean.

    `place` is its coordinates along the axes of its domains; `heads`, `sequences` and `experts` are what it holds,
    empty where the section has none. `loads` are by phase; `bytes` is None where memory is undetermined.
    """

    ranks: str
    count: int
    place: str
    heads: str
    sequences: str
    experts: str
    loads: tuple[PhaseLoad, ...]
    bytes: float | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """GPUs of a node, or of each of `count` nodes with the same loads; `gpus` has None for one outside of the group."""

    title: str
    count: int
    gpus: tuple[RankRow | None, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The ranks of one group. `slowest` is the longest time by phase, in picoseconds; `capacity_bytes` is that of each
    rank's device. `hidden` rows of GPUs are left out of `nodes`; `is_split` where a node has several rows.
    """

    title: str
    lines: tuple[str, ...]
    role: Role
    holds_experts: bool
    phases: tuple[str, ...]
    rows: tuple[RankRow, ...]
    nodes: tuple[NodeRow, ...]
    hidden: int
    is_split: bool
    slowest: tuple[float, ...]
    capacity_bytes: float

    @property
    def is_even(self) -> bool:
        """Whether all ranks have the same load and memory."""
        return len(self.rows) == 1


def sections(strategy: StrategyView, served: Served) -> Iterator[Section]:
    """The expert group with the slowest rank of the first stage that has experts, and the attention apart from it."""
    for index, pool in enumerate(served.service.pools):
        yield _Group(strategy, served, pool, index).section()


class _Group:
    """The ranks of one pool's group, on their way into a section."""

    def __init__(self, strategy: StrategyView, served: Served, pool: Pool, team: int) -> None:
        self._strategy, self._served, self._pool = strategy, served, pool
        self._stage = _stage_with_experts(served)
        graph = served.phases[0][1].priced.graph
        program = graph.programs[0][self._stage]
        self._team = graph.teams[program.teams[min(team, len(program.teams) - 1)]]
        loads = [_loads(line, self._stage, team, self._team.width) for _, line in served.phases]
        self._tokens = np.array([tokens for tokens, _ in loads])
        self._times = np.array([times for _, times in loads])
        self._memory, self._capacity = _memory(strategy, pool, self._team)
        self._local, self._number, self._groups = self._members()

    def _members(self) -> tuple[Ranks, int, int]:
        """Local ranks of the group that has the slowest, its number, and how many groups there are."""
        experts = self._pool.experts
        if experts is None:
            return np.arange(self._team.width, dtype=np.int64), 0, 1
        groups = experts.groups((AxisKind.EP, AxisKind.TP))
        slowest = int(self._times[0].argmax())
        number = int(np.flatnonzero((groups == slowest).any(axis=1))[0])
        return np.sort(groups[number]), number, len(groups)

    def section(self) -> Section:
        has_experts = self._pool.experts is not None and self._strategy.plan.facts.model.experts is not None
        what = "expert group" if has_experts else "ranks" if self._pool.role is Role.ALL else "attention ranks"
        group = "" if self._groups == 1 else f" {self._number} of {self._groups}"
        title = f"{what}{group}, stage {self._team.stage}, pool {self._pool.name}"
        label = self._labels()
        lines = self._lines(label)
        nodes, hidden = self._nodes(lines, label)
        per_node = self._strategy.plan.facts.cluster.gpus_per_node
        on = len(np.unique(self._team.ranks[self._local] // per_node))
        count = (f"{counted(self._local.size, 'rank')} on {counted(on, 'node')}",)
        phases = tuple(name for name, _ in self._served.phases)
        rows = tuple(self._row(members) for members in self._classes(label))
        slowest = tuple(self._times[:, self._local].max(axis=1).tolist())
        role, capacity = self._pool.role, self._capacity
        split = self._wide < per_node
        return Section(title, count, role, has_experts, phases, rows, nodes, hidden, split, slowest, capacity)

    def _labels(self) -> Ranks:
        """The class of each rank of the group: equal for ranks with equal loads and memory, shape (ranks,)."""
        figures = np.vstack([self._tokens, self._times, self._memory[None, :]])[:, self._local]
        _, label = np.unique(figures, axis=1, return_inverse=True)
        return label.reshape(-1).astype(np.int64)

    def _classes(self, label: Ranks) -> list[Ranks]:
        """Local ranks by row, the slowest first."""
        _, first = np.unique(label, return_index=True)
        slowest = np.argsort(-self._times[0, self._local[first]], kind="stable")
        rows = [self._local[label == one] for one in slowest]
        if len(rows) <= MOST_ROWS:
            return rows
        return [*rows[:SLOWEST], np.sort(np.concatenate(rows[SLOWEST:-FASTEST])), *rows[-FASTEST:]]

    def _lines(self, label: Ranks) -> list[list[int]]:
        """Numbers of rows of GPUs that are drawn as one, those with the lowest number first."""
        wide, numbers = self._wide, self._team.ranks[self._local]
        per_node = self._strategy.plan.facts.cluster.gpus_per_node
        are_apart = len(np.unique(numbers // per_node)) <= MOST_APART
        found: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for line in np.unique(numbers // wide).tolist():
            inside = numbers // wide == line
            same = tuple(zip((numbers[inside] % per_node).tolist(), label[inside].tolist(), strict=True))
            found.setdefault(((line, 0),) if are_apart else same, []).append(line)
        return list(found.values())

    def _nodes(self, lines: list[list[int]], label: Ranks) -> tuple[tuple[NodeRow, ...], int]:
        """The rows of GPUs, and how many are left out."""
        wide, numbers = self._wide, self._team.ranks[self._local]
        times = self._times[0, self._local]
        shown = lines
        if len(lines) > MOST_NODES:
            slowest = sorted(lines, key=lambda line: -float(times[numbers // wide == line[0]].max()))
            shown = sorted(slowest[:MOST_NODES])
        rows: list[NodeRow] = []
        for line in shown:
            inside = np.isin(numbers // wide, line)
            members = [self._local[inside & (numbers % wide == gpu)] for gpu in range(wide)]
            gpus = tuple(self._row(member) if member.size else None for member in members)
            rows.append(NodeRow(self._node_title(line), len(line), gpus))
        return tuple(rows), len(lines) - len(shown)

    def _node_title(self, lines: list[int]) -> str:
        """`node 3`, `nodes 0-31, ×32`; of a node with several rows also which GPUs."""
        per_node, wide = self._strategy.plan.facts.cluster.gpus_per_node, self._wide
        nodes = np.unique(np.array(lines, dtype=np.int64) * wide // per_node)
        title = rank_text(nodes).replace("rank", "node", 1) + (f", ×{nodes.size}" if nodes.size > 1 else "")
        first = lines[0] * wide % per_node
        return title if wide == per_node else f"{title}, GPUs {first}–{first + wide - 1}"

    @property
    def _wide(self) -> int:
        """GPUs in a row: those of a node, or a part of them that divides it."""
        per_node = self._strategy.plan.facts.cluster.gpus_per_node
        return max(wide for wide in range(1, min(per_node, MOST_GPUS) + 1) if per_node % wide == 0)

    def _row(self, members: Ranks) -> RankRow:
        pool, team = self._pool, self._team
        tokens, times = (figures[:, members].mean(axis=1).tolist() for figures in (self._tokens, self._times))
        loads = zip(tokens, times, strict=True)
        named = rank_text(team.ranks[members]).split(" ", 1)[1]
        several = f"{members.size} ranks" if "…" in named else f"{named}, ×{members.size}"
        return RankRow(
            ranks=named if members.size == 1 else several,
            count=int(members.size),
            place=_place(pool, members),
            heads=_heads(self._strategy.plan, pool.attention, members),
            sequences=_sequences(self._served, pool.attention, members),
            experts=_experts(self._strategy.plan, self._served, pool.experts, members),
            loads=tuple(PhaseLoad(tokens, times) for tokens, times in loads),
            bytes=float(self._memory[members].mean()) if self._capacity else None,
        )


def _stage_with_experts(served: Served) -> int:
    graph = served.phases[0][1].priced.graph
    return next((program.stage for program in graph.programs[0] if _layer(served.phases[0][1], program)), 0)


def _layer(timeline: Timeline, program: StageProgram) -> Segment | None:
    """The layers of a stage that have experts, the most of one kind."""
    graph = timeline.priced.graph
    experts = {i for i, one in enumerate(graph.templates) if any(isinstance(n.op, GroupedGemm) for n in one.nodes)}
    found = [segment for segment in program.segments if segment.template in experts]
    layers = found or [s for s in program.segments if s.first_layer is not None]
    return max(layers, key=lambda segment: segment.count, default=None)


def _loads(timeline: Timeline, stage: int, team: int, width: int) -> tuple[Vector, Vector]:
    """Pairs of token and expert, and picoseconds of computation, by rank, in one layer."""
    priced, program = timeline.priced, timeline.priced.graph.programs[0][stage]
    tokens, times = np.zeros(width), np.zeros(width)
    segment = _layer(timeline, program)
    if segment is None:
        return tokens, times
    pairs = zip(priced.graph.templates[segment.template].nodes, priced.costs[segment.template], strict=True)
    for node, cost in pairs:
        if node.team != min(team, len(program.teams) - 1):
            continue
        if node.op.lane is Lane.COMPUTE:
            times = times + _mean(cost.duration.astype(np.float64), width)
        if isinstance(node.op, GroupedGemm) and not tokens.any():
            rows = node.op.rows
            tokens = _mean(rows, width) * (max_rank(rows) / (float(rows.max()) or 1.0))
    return tokens, times


def _mean(load: Load, width: int) -> Vector:
    """By rank, the mean of the layers where these differ."""
    return np.broadcast_to(load.mean(axis=0) if load.ndim > 1 else load, (width,))


def _memory(strategy: StrategyView, pool: Pool, team: Team) -> tuple[Vector, float]:
    """Bytes by rank of the team's stage, and the capacity; zeros where memory is undetermined."""
    figures = pool_figures(strategy, pool)
    if figures is None:
        return np.zeros(team.width), 0.0
    return np.broadcast_to(figures.total[min(team.stage, pool.stages - 1)], (team.width,)), figures.capacity_bytes


def pool_figures(strategy: StrategyView, pool: Pool) -> PoolMemory | None:
    """Memory of a pool, where it is determined."""
    pools = strategy.memory.pools if strategy.memory else ()
    return next((figures for figures in pools if figures.pool == pool.name), None)


def _place(pool: Pool, members: Ranks) -> str:
    """`tp 1, dp 3, ep 5`: coordinates of ranks along each axis, from 0."""
    place_by_axis: dict[str, str] = {}
    for layout in (pool.attention, pool.experts):
        for axis in (AxisKind.TP, AxisKind.CP, AxisKind.DP, AxisKind.EP):
            if layout is not None and layout.degree(axis) > 1 and not (axis is AxisKind.DP and layout is pool.experts):
                place_by_axis.setdefault(axis.value, f"{axis.value} {_span(layout.coordinate(axis)[members])}")
    return ", ".join(place_by_axis.values())


def _span(values: Ranks) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}–{high}"


def _heads(plan: Plan, attention: Layout | None, members: Ranks) -> str:
    """The heads of a rank, `64–127`; of several ranks how many each has."""
    shapes = plan.facts.model.shapes()
    if attention is None or shapes is None:
        return ""
    heads, tp = shapes.attention.heads, attention.tp
    each = -(-heads // tp)
    first = attention.coordinate(AxisKind.TP)[members] * heads // tp
    if np.unique(first).size > 1:
        return f"{each} each"
    return f"{int(first[0])}–{int(first[0]) + each - 1}" if each > 1 else str(int(first[0]))


def _sequences(served: Served, attention: Layout | None, members: Ranks) -> str:
    """Sequences of a micro-batch on a rank."""
    if attention is None:
        return ""
    sequences = served.phases[-1][1].priced.graph.sequences[0]
    return _span(sequences_per_rank(attention, sequences)[members])


def _experts(plan: Plan, served: Served, layout: Layout | None, members: Ranks) -> str:
    """The experts of a rank, `48–63`; how many where there are copies of some, or several ranks."""
    shapes = plan.facts.model.shapes()
    if layout is None or shapes is None or shapes.experts is None:
        return ""
    redundant = served.service.options.redundant
    held = experts_per_rank(layout, shapes.experts.count, redundant)
    if members.size > 1 or redundant:
        span = _span(held[members])
        return f"{span} each" if not redundant else f"{span} slot{'' if span == '1' else 's'}"
    one = int(members[0])
    place = layout.coordinate(AxisKind.EP)
    _, leaders = np.unique(place, return_index=True)
    first = int(held[leaders][: int(place[one])].sum())
    last = first + int(held[one]) - 1
    return (f"{first}–{last}" if last > first else str(first)) + f" ({int(held[one])})"
