"""Memory and link use over time, of the first shown rank of each team.

Turns the memory model and the runs into steps of a counter. Memory is weights, buffers and reserve, which stay; the
cache, which in prefill grows with every layer of every micro-batch that has been written, to that of the whole prompts,
and in decode is that of the context that the steps are priced at (the prompt and half of the output), one token longer
with every step; and activations, while the stage is at work on a micro-batch. Link use is what the rank sends over the
time that it takes: bytes a second inside the node, and on the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from dagc.catalog.device import Backend
from dagc.cost.memory import MemoryPart, PoolMemory
from dagc.export.times import CopyStarts, at_rank, durations
from dagc.export.titles import team_of
from dagc.export.trace.invocations import Invocation
from dagc.export.trace.slice_table import Column
from dagc.export.trace.tracks import PhaseTracks, Traced
from dagc.graph.priced import PICOSECONDS
from dagc.ops.kv_cache import KvWrite
from dagc.ops.load import Load
from dagc.ops.recurrence import Recurrence
from dagc.plan.deployment import Phase
from dagc.schedule.timeline import Run

_WRITES = (KvWrite, Recurrence)
"""Operators after which a layer's part of the cache is there."""


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """A counter of a process, called `name key`: `values`, a thousand millionth of its unit, from each of `times` on,
    in ns.
    """

    pid: int
    name: str
    key: str
    times: Column
    values: Column


WITHIN, BETWEEN = "sent within the node", "sent between nodes"
"""Counters of what a GPU sends."""

MOST_LEFT_OUT = 64
"""Values of the cache for all micro-batches that are left out: of a thousand, each of a thousand stages has a value."""

GIGA = 10**9
"""Bytes are shown in GB, bytes a second in GB/s."""


def counters(
    traced: Traced, phase: PhaseTracks, busy: list[list[Invocation]], keeps: Callable[[Run], bool]
) -> Iterator[Counter]:
    """All counters of a phase, team by team. Of runs that are not kept the cache is that at the end of some."""
    graph = phase.timeline.priced.graph
    runs: list[list[Run]] = [[] for _ in phase.teams]
    # Only in prefill the cache grows with each run, the left out among them.
    shown = phase.timeline.shown()
    for run in shown if graph.phase is Phase.PREFILL else filter(keeps, shown):
        for number in set(graph.programs[run.size][run.stage].teams):
            runs[number].append(run)
    caches: _Caches = {}
    for number, team in enumerate(phase.teams):
        if not team.local.size:
            continue
        whose = "per GPU" if team.is_alike else f"of GPU {team.first_gpu}"
        written = [(run, keeps(run)) for run in runs[number]]
        kept = [run for run, is_kept in written if is_kept]
        for key, (times, values) in _memory(traced, phase, number, busy[number], written, caches).items():
            if values.any():
                yield Counter(team.pid, key, f"{whose} (GB)", (phase.begin + times) // 1000, values)
        for key, (times, values) in _links(traced, phase, number, kept).items():
            yield Counter(team.pid, key, f"{whose} (GB/s)", (phase.begin + times) // 1000, values)


_Steps = tuple[Column, Column]
"""Times in ps from the beginning of the phase, and values from there on."""

_Caches = dict[tuple[str, int], Load]
"""Bytes of cache by pool and tokens of a sequence: those of all stages, which each of them asks for."""


def _memory(
    traced: Traced,
    phase: PhaseTracks,
    number: int,
    busy: list[Invocation],
    runs: list[tuple[Run, bool]],
    caches: _Caches,
) -> dict[str, _Steps]:
    """Bytes of the first shown rank of a team: in all, of cache, of activations. None in the KV-cache transfer."""
    graph = phase.timeline.priced.graph
    team, rank = graph.teams[number], int(phase.teams[number].local[0])
    held = next((pool for pool in traced.memory if pool.pool == team.pool), None)
    if held is None or graph.phase is Phase.BOTH or not busy:
        return {}

    def of(part: Load) -> int:
        return round(float(part[team.stage, min(rank, part.shape[1] - 1)]))

    stays = sum(of(size) for part, size in held.parts.items() if part in _STAYS)
    cache = _cache(traced, phase, number, busy, lambda length: of(_cache_of(held, length, caches)), runs)
    active = of(held.activations[graph.phase]) if graph.phase in held.activations else 0
    edges = np.array([(one.start, active) for one in busy] + [(one.end, 0) for one in busy], dtype=np.int64)
    activations = _by_time(edges[:, 0], edges[:, 1])
    times = np.unique(np.concatenate([[0], cache[0], activations[0]]))
    parts = [_at(steps, times) for steps in (cache, activations)]
    return {
        "memory in use": (times, stays + parts[0] + parts[1]),
        "KV cache": cache,
        "activations": activations,
    }


def _cache_of(held: PoolMemory, length: int, caches: _Caches) -> Load:
    key = held.pool, length
    if key not in caches:
        caches[key] = held.cache_of(length)
    return caches[key]


_STAYS = (MemoryPart.WEIGHTS, MemoryPart.COMMUNICATION, MemoryPart.RESERVE)


def _cache(
    traced: Traced,
    phase: PhaseTracks,
    number: int,
    busy: list[Invocation],
    bytes_at: Callable[[int], int],
    runs: list[tuple[Run, bool]],
) -> _Steps:
    """`bytes_at`: the cache of the first shown rank where sequences have so many tokens."""
    workload, graph = traced.plan.facts.workload, phase.timeline.priced.graph
    if graph.phase is Phase.DECODE:
        context = workload.prompt + workload.output // 2
        begun = {one.step: one.start for one in reversed(busy)}
        steps = sorted(begun)
        values = [bytes_at(context + step) for step in steps]
        return np.array([0, *(begun[step] for step in steps[1:])]), np.array(values, dtype=np.int64)
    full = bytes_at(workload.prompt)
    nodes: dict[tuple[int, ...], list[int]] = {}
    for run, _ in runs:
        key = run.template, run.size, run.stage
        if key not in nodes:
            nodes[key] = _writes(phase, run, number)
    writing = [(run, each) for run, each in runs if nodes[run.template, run.size, run.stage]]
    left = [place for place, (_, each) in enumerate(writing) if not each]
    together = ceil(len(left) / MOST_LEFT_OUT)
    valued = {*left[together - 1 :: together], *left[-1:]} if left else set[int]()
    written: list[tuple[Column, int]] = []
    behind = 0
    for place, (run, each) in enumerate(writing):
        own = graph.sequences[run.size] * (1 if each else run.count)
        behind += 0 if each else own
        if each or place in valued:
            times = _written(phase, run, number, nodes[run.template, run.size, run.stage], each)
            written.append((times, own if each else behind))
            behind = behind if each else 0
    times = np.concatenate([np.empty(0, dtype=np.int64), *(time for time, _ in written)])
    sequences = np.repeat(np.array([count for _, count in written], dtype=np.int64), [time.size for time, _ in written])
    order = np.argsort(times, kind="stable")
    grown = np.cumsum(sequences[order])
    values = np.rint(full * grown / max(1, grown[-1] if grown.size else 1)).astype(np.int64)
    return _by_time(np.concatenate([[0], times[order]]), np.concatenate([[0], values]))


def _writes(phase: PhaseTracks, run: Run, number: int) -> list[int]:
    """Nodes of a run's template after which a team has a layer's part of the cache."""
    graph = phase.timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    nodes = enumerate(graph.templates[run.template].nodes)
    return [index for index, node in nodes if isinstance(node.op, _WRITES) and team_of(teams, node) == number]


def _written(phase: PhaseTracks, run: Run, number: int, writes: list[int], each: bool) -> Column:
    """When the cache of each copy of a run is there, or that of all its copies."""
    local = phase.teams[number].local[:1]
    last = range(run.count - 1, run.count)
    copies = range(run.count) if each else last
    starts = CopyStarts((run,), copies) if each else None
    ends = [
        (starts.of(index, local) if starts else at_rank(run.start(run.count - 1, index), int(local[0])))
        + durations(phase.timeline, run, copies, index, local)
        for index in writes
    ]
    return np.concatenate(ends).ravel()


def _links(traced: Traced, phase: PhaseTracks, number: int, runs: list[Run]) -> dict[str, _Steps]:
    """Bytes a second of the first shown rank of a team, by kind of link, where it sends any."""
    found: dict[str, list[_Steps]] = {WITHIN: [], BETWEEN: []}
    merges = traced.plan.facts.cluster.collectives is Backend.CUSTOM
    for run in runs:
        for start, end, near, far in _sent(phase, run, number, merges):
            for key, size in ((WITHIN, near), (BETWEEN, far)):
                if size.any():
                    rate = np.rint(size * (PICOSECONDS / np.maximum(end - start, 1))).astype(np.int64)
                    found[key].append((np.concatenate([end, start]), np.concatenate([np.zeros_like(rate), rate])))
    steps = {
        key: tuple(np.concatenate(one) for one in zip(*edges, strict=True)) for key, edges in found.items() if edges
    }
    return {key: _by_time(times, values) for key, (times, values) in steps.items()}


def _sent(phase: PhaseTracks, run: Run, number: int, merges: bool) -> Iterator[tuple[Column, Column, Load, Load]]:
    """Start, end, and bytes by kind of link, of each copy of each exchange of a run that takes time."""
    timeline = phase.timeline
    graph = timeline.priced.graph
    teams, local = graph.programs[run.size][run.stage].teams, phase.teams[number].local[:1]
    copies = range(run.count)
    begun: CopyStarts | None = None
    for index, node in enumerate(graph.templates[run.template].nodes):
        if node.communication is None or team_of(teams, node) != number:
            continue
        length = durations(timeline, run, copies, index, local)
        if not length.any():
            continue
        begun = begun or CopyStarts((run,), copies)
        start = begun.of(index, local)
        sent = node.communication.sent(merges)
        near, far = (np.broadcast_to(_row(load, run, copies, local), start.shape) for load in (sent.link, sent.network))
        yield start.ravel(), (start + length).ravel(), near.ravel(), far.ravel()


def _row(load: Load, run: Run, copies: range, local: Column) -> Load:
    rows = load[run.offset + copies.start : run.offset + copies.stop] if load.ndim > 1 else load[None]
    return rows if rows.shape[1] == 1 else rows[:, local]


def _by_time(times: Column, values: Column) -> _Steps:
    """In the order of time, one value for each moment: the largest, because what ends makes way for what begins."""
    order = np.lexsort((values, times))
    times, values = times[order], values[order]
    last = np.append(times[1:] > times[:-1], True) if times.size else np.empty(0, dtype=np.bool_)
    return times[last], values[last]


def _at(steps: _Steps, times: Column) -> Column:
    """The value at each time; 0 before the first."""
    place = np.searchsorted(steps[0], times, side="right") - 1
    return np.where(place >= 0, steps[1][np.maximum(place, 0)], 0)
