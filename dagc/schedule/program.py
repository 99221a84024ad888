"""A priced phase as one columnar program: what a kernel runs, and what traces, replays and checks read.

The rows of an issue table are issues: `count` copies of one segment of one stage for one micro-batch. Issues of several
stages that share a pool are issued in lock step, copy by copy. A record of the program holds one row for each step of
each copy, in the order in which they are issued. Tables are built by numpy; nothing here grows with layers or ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import PricedPhase
from dagc.schedule.order import Int64, Order, lock_step, order_of, periods_of_first_step, stages

if TYPE_CHECKING:
    from dagc.schedule.template import Int32, TemplateCache, TimedTemplate

COLUMNS = (
    "template",
    "count",
    "members",
    "offset",
    "lanes",
    "streams",
    "edges",
    "counts",
    "own",
    "peer",
    "step",
    "micro_batch",
    "size",
    "stage",
    "position",
)
"""Columns of an issue table; the kernel reads those up to `peer`.

`template` is run `count` times with rows of durations from `offset` on. `members` is how many issues are in lock step
from this one on, 0 at those after the first. `lanes` is the place of its lanes in `Program.lane_maps`, `streams` the
number of its streams' place in the state. `edges` is 1 at the first issue of an invocation that starts without streams,
2 at the last one, 3 at both. `counts` is 1 where its end counts for the makespan. `own` and `peer` are the slots of the
messages that it sends and receives. The rest says which segment it is of.
"""

(TEMPLATE, COUNT, MEMBERS, OFFSET, LANES, STREAMS, EDGES, COUNTS, OWN, PEER,
 STEP, MICRO_BATCH, SIZE, STAGE, POSITION) = range(len(COLUMNS))  # fmt: skip

FIRST, LAST = 1, 2
"""Edges of an invocation."""

_MOST_KEPT = 512
"""Invocations of a phase whose issue tables are kept for others, so that the memory of these has a limit."""


@dataclass(frozen=True, slots=True, eq=False)
class IssueTable:
    """Issues in order, shape (issues, columns), and where each is in a record.

    `rows` and `entries` are those of the first copy of each issue: its first step, and the copy. Those of the next copy
    follow `row_stride` and `entry_stride` later.
    """

    issues: Int32
    rows: Int64
    entries: Int64
    row_stride: Int64
    entry_stride: Int64
    row_count: int
    entry_count: int

    def __len__(self) -> int:
        """Issues."""
        return self.issues.shape[0]

    def column(self, number: int) -> Int32:
        """One column."""
        return self.issues[:, number]


def laid_out(issues: Int32, step_counts: Int64) -> IssueTable:
    """A table with the places of its issues in a record of templates with so many steps."""
    heads = np.flatnonzero(issues[:, MEMBERS])
    group = np.cumsum(issues[:, MEMBERS] > 0) - 1
    own = step_counts[issues[:, TEMPLATE]]
    if not heads.size:
        nothing = np.zeros(0, dtype=np.int64)
        return IssueTable(issues, nothing, nothing, nothing, nothing, 0, 0)
    row_stride = np.add.reduceat(own, heads)[group]
    entry_stride = issues[heads, MEMBERS].astype(np.int64)[group]
    counts = issues[heads, COUNT].astype(np.int64)
    group_rows = np.concatenate([[0], np.cumsum(counts * row_stride[heads])])
    group_entries = np.concatenate([[0], np.cumsum(counts * entry_stride[heads])])
    before = np.cumsum(own) - own
    rows = group_rows[group] + before - before[heads][group]
    entries = group_entries[group] + np.arange(len(issues)) - heads[group]
    return IssueTable(issues, rows, entries, row_stride, entry_stride, int(group_rows[-1]), int(group_entries[-1]))


class State(NamedTuple):
    """How large the state of a pass is."""

    lanes: int
    stream_places: int
    most_streams: int
    message_slots: int
    most_messages: int
    most_inputs: int


@dataclass(frozen=True, eq=False)
class Program:
    """A priced phase, ready to run.

    `ranks` is 1 where no rank takes longer than another, else the width of the widest team; `widths` are ranks by lane
    of the phase (1 in the former case). `lane_maps` hold the lanes of the phase by lane of a stage's program.
    `tables` are those of programs of the same issues, by name.
    """

    graph: PhaseGraph
    order: Order
    templates: tuple[TimedTemplate, ...]
    ranks: int
    widths: Int32
    lane_maps: Int32
    state: State
    tables: dict[str, IssueTable] = field(default_factory=dict[str, "IssueTable"], repr=False)

    @cached_property
    def step_counts(self) -> Int64:
        """Steps of each template."""
        return np.array([len(one.steps) for one in self.templates], dtype=np.int64)

    @property
    def first_step(self) -> IssueTable:
        """The periods that step 0 is in."""
        return self._table("first", self._first_step)

    @property
    def next_step(self) -> IssueTable:
        """Each period after those; steps are counted from that of the period."""
        return self._table("next", self._next_step)

    def _table(self, name: str, build: Callable[[], IssueTable]) -> IssueTable:
        if name not in self.tables:
            self.tables[name] = build()
        return self.tables[name]

    def _first_step(self) -> IssueTable:
        periods = range(periods_of_first_step(self.graph))
        tables = [_issues(self, period) for period in periods]
        return laid_out(tables[0] if len(tables) == 1 else np.concatenate(tables), self.step_counts)

    def _next_step(self) -> IssueTable:
        after = periods_of_first_step(self.graph)
        if after == 1:
            return self.first_step
        issues = _issues(self, after)
        issues[:, STEP] -= after
        return laid_out(issues, self.step_counts)


def program_of(priced: PricedPhase, cache: TemplateCache) -> Program:
    """The program of a phase."""
    graph = priced.graph
    templates = tuple(cache.of(template, costs) for template, costs in zip(graph.templates, priced.costs, strict=True))
    is_uniform = all(one.is_uniform for one in templates)
    widths = np.repeat([1 if is_uniform else team.width for team in graph.teams], 2).astype(np.int32)
    teams = [team for programs in graph.programs for program in programs for team in program.teams]
    lane_maps = np.array([2 * team + lane for team in teams for lane in (0, 1)], dtype=np.int32)
    order, most = order_of(graph), _most_messages(graph, templates)
    depth, count = stages(graph), len(graph.micro_batches)
    structures = [one.structure for one in templates]
    state = State(
        lanes=2 * len(graph.teams),
        stream_places=count if depth == 1 else depth,
        most_streams=max((max(one.streams, len(one.outs), 1) for one in structures), default=1),
        message_slots=((depth - 1) * order.ahead + count) * most,
        most_messages=most,
        most_inputs=max((one.inputs + max(one.receives, one.sends) for one in structures), default=0),
    )
    sizes = tuple([(len(one.steps), one.sends, one.receives) for one in structures])
    is_small = depth * count <= _MOST_KEPT
    tables = _tables_of(graph.phase, graph.programs, graph.micro_batches, sizes) if is_small else {}
    return Program(graph, order, templates, int(widths.max(initial=1)), widths, lane_maps, state, tables)


@lru_cache(maxsize=128)
def _tables_of(*issues: object) -> dict[str, IssueTable]:
    """The issue tables of programs that have these stages and micro-batches, and templates of these sizes."""
    return {}


def _most_messages(graph: PhaseGraph, templates: Sequence[TimedTemplate]) -> int:
    """The most messages of one direction that an invocation has."""
    return max(
        (
            max(
                sum(segment.count * templates[segment.template].structure.sends for segment in program.segments),
                sum(segment.count * templates[segment.template].structure.receives for segment in program.segments),
            )
            for programs in graph.programs
            for program in programs
        ),
        default=0,
    )


def _issues(program: Program, period: int) -> Int32:
    """The issues of a period, shape (issues, columns)."""
    graph, order = program.graph, program.order
    invocations = order.invocations(graph, period)
    sizes = np.array(graph.micro_batches, dtype=np.int64)[invocations.micro_batch]
    kinds = sizes * stages(graph) + invocations.stage
    waves = np.flatnonzero(np.diff(invocations.wave, prepend=-1))
    if waves.size == kinds.size:
        made = [_wave(graph, (kind,)) for kind in range(len(graph.programs) * stages(graph))]
        numbers = kinds
    else:
        keys = [tuple(one.tolist()) for one in np.split(kinds, waves[1:])]
        numbered = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        made = [_wave(graph, key) for key in numbered]
        numbers = np.array([numbered[key] for key in keys], dtype=np.int64)
    counts = np.array([len(wave) for wave in made], dtype=np.int64)
    begins = np.cumsum(counts) - counts
    lengths = counts[numbers]
    total = int(lengths.sum())
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.concatenate(made)[np.repeat(begins[numbers], lengths) + within] if total else np.zeros((0, 6), np.int32)
    invoked = np.repeat(waves, lengths) + rows[:, 0]
    return _columns(program, rows, *(column[invoked] for column in (*invocations[1:], sizes)))


def _wave(graph: PhaseGraph, kinds: Sequence[int]) -> Int32:
    """What invocations of these sizes and stages issue in lock step."""
    programs = [graph.programs[kind // stages(graph)][kind % stages(graph)] for kind in kinds]
    return _wave_of(tuple([tuple([segment.count for segment in one.segments]) for one in programs]))


@lru_cache(maxsize=1024)
def _wave_of(counts: tuple[tuple[int, ...], ...]) -> Int32:
    """What invocations whose segments have so many copies issue in lock step.

    A row for each issue: invocation, position, offset, count, members, edges.
    """
    rows: list[tuple[int, ...]] = []
    for parts, count in lock_step(counts):
        for number, (invocation, position, offset) in enumerate(parts):
            own = counts[invocation]
            is_first = offset == 0 and not any(own[:position])
            is_last = offset + count == own[position] and not any(own[position + 1 :])
            edges = FIRST * is_first + LAST * is_last
            rows.append((invocation, position, offset, count, 0 if number else len(parts), edges))
    return np.array(rows, dtype=np.int32).reshape(-1, 6)


def _columns(program: Program, rows: Int32, step: Int64, micro_batch: Int64, stage: Int64, size: Int64) -> Int32:
    graph, order = program.graph, program.order
    depth, most = stages(graph), program.state.most_messages
    _, position, offset, count, members, edges = rows.T
    found = _segments(program)
    template, sent, received, lanes = found[:, size, stage, position]
    structures = [one.structure for one in program.templates]
    sends = np.array([one.sends for one in structures], dtype=np.int64)[template]
    receives = np.array([one.receives for one in structures], dtype=np.int64)[template]

    def slot(stage: Int64) -> Int64:
        last = (depth - 1) * order.ahead + micro_batch
        return most * np.where(stage == depth - 1, last, stage * order.ahead + micro_batch % order.ahead)

    issues = np.empty((len(rows), len(COLUMNS)), dtype=np.int32)
    columns = {
        TEMPLATE: template,
        COUNT: count,
        MEMBERS: members,
        OFFSET: offset,
        LANES: lanes,
        STREAMS: micro_batch if depth == 1 else stage,
        EDGES: 0 if depth == 1 else edges,
        COUNTS: step == 0,
        OWN: slot(stage) + sent + offset * sends,
        PEER: slot((stage - 1) % depth) + received + offset * receives,
        STEP: step,
        MICRO_BATCH: micro_batch,
        SIZE: size,
        STAGE: stage,
        POSITION: position,
    }
    for number, column in columns.items():
        issues[:, number] = column
    return issues


def _segments(program: Program) -> Int64:
    """Template, messages sent and received before, and the lane map, shape (4, sizes, stages, positions)."""
    graph = program.graph
    most = max((len(one.segments) for programs in graph.programs for one in programs), default=0)
    found = np.zeros((4, len(graph.programs), stages(graph), max(1, most)), dtype=np.int64)
    lanes = 0
    for size, programs in enumerate(graph.programs):
        for stage, one in enumerate(programs):
            sent = received = 0
            for position, segment in enumerate(one.segments):
                found[:, size, stage, position] = segment.template, sent, received, lanes
                structure = program.templates[segment.template].structure
                sent += segment.count * structure.sends
                received += segment.count * structure.receives
            lanes += 2 * len(one.teams)
    return found
