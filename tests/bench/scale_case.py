"""One measurement of the scale benchmark, in a process of its own: `python -m tests.bench.scale_case KIND CASE LOAD`.

Prints one line of JSON: seconds, peak memory, makespan, size. `grouped` is pricing and scheduling of the prefill of
every class of replicas, from templates to the critical path; `expanded` makes the columns of one replica of each class
and finds the longest path with numpy; `c`, `networkx` and `rustworkx` find it in the same columns, whose making is
not counted. A class's time is taken once for each of its replicas.

`request` and `c-request` do the same for the whole request: the prefill and every decode step. dagc finds the steady
interval of the steps; the C loop walks the columns of one step as many times as there are steps.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dagc.cost.price import price
from dagc.export.expanded import Expanded, expand
from dagc.export.expanded_rows import count
from dagc.facts.facts import declare_facts
from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import PricedPhase
from dagc.lower.lower import lower
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.schedule.schedule import schedule
from dagc.source import Source
from dagc.syntax.parser import parse
from tests.bench.peak import peak_bytes
from tests.harness.longest import longest_path

CASES = {
    "1e5": "pp 1 [micro 3] < ep 32 >",
    "1e6": "pp 1 [micro 13] < ep 64 >",
    "5e6": "pp 1 [micro 16] < ep 256 >",
    "1e7": "dp 2 < pp 1 [micro 16] < ep 256 > >",
    "2048 dp": "dp 8 < pp 1 [micro 16] < ep 256 > >",
    "2048 pp": "pp 8 [micro 16] < ep 256 ; tp 4 >",
}
LOADS = {"even": ("", ""), "uneven": (" routing zipf 1", " { slow 5 by 10 % }")}
REPEATS = 3
"""Runs of which the shortest counts."""

ENOUGH = 0.3
"""Seconds for which shorter runs are repeated: the first ones of a process wait for memory and caches."""


def plan_of(case: str, load: str) -> Plan:
    """The plan of a case, or of a strategy in place of one, not priced; ends the process where it is wrong."""
    routing, slowed = LOADS[load]
    text = f"model deepseek-v3\ncluster h100-sxm{slowed}\nworkload {{ batch 65536 prompt 512 output 128{routing} }}\n"
    return read_plan(f"{text}strategy a = {CASES.get(case, case)}\n")


def read_plan(text: str) -> Plan:
    """The plan of a text with one strategy."""
    parsed = parse(Source("plan.moe", text))
    if parsed.file is None:
        raise SystemExit(f"{[found.message for found in parsed.diagnostics]}")
    facts, wrong = declare_facts(parsed.file, (), Path())
    deployment, sizing = resolve(annotate(parsed.file.strategies[0]))
    problems = [found.message for found in (*parsed.diagnostics, *wrong, *sizing) if found.is_error]
    if problems or deployment is None or facts is None:
        raise SystemExit(f"{problems}")
    return Plan(deployment, facts)


def phases(plan: Plan) -> list[PhaseGraph]:
    """The prefill of every class of replicas."""
    graph = lower(plan)
    return [phase for phase in graph.classes if phase.phase is graph.prefill.phase]


def request(plan: Plan) -> list[tuple[PhaseGraph, int]]:
    """Both phases of every class of replicas, and how often each runs: every token after the first is a step."""
    steps = plan.facts.workload.output - 1
    graph = lower(plan)
    return [(phase, 1 if phase.phase is graph.prefill.phase else steps) for phase in graph.classes]


def best(action: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Least time of some runs, and the result. One run is enough where it takes seconds."""
    least, result, spent, runs = float("inf"), None, 0.0, 0
    while runs < repeats or (repeats > 1 and spent < ENOUGH):
        start = time.perf_counter()
        result = action()
        taken = time.perf_counter() - start
        least, spent, runs = min(least, taken), spent + taken, runs + 1
        if taken > 5:
            break
    return least, result


def grouped(plan: Plan) -> dict[str, Any]:
    found = phases(plan)
    seconds, timelines = best(lambda: [schedule(price(phase, plan)) for phase in found])
    pricing, _ = best(lambda: [price(phase, plan) for phase in found])
    return {"seconds": seconds, "pricing": pricing, "makespan": max(timeline.makespan for timeline in timelines)}


def grouped_request(plan: Plan) -> dict[str, Any]:
    found = [phase for phase, _ in request(plan)]
    seconds, _ = best(lambda: [schedule(price(phase, plan)) for phase in found])
    return {"seconds": seconds, "makespan": 0}


def request_in_c(plan: Plan, library: str) -> dict[str, Any]:
    walk = _walk_of(library)
    parts = [(phase, times, _timed_c(walk, expand(price(phase, plan)))[0]) for phase, times in request(plan)]
    seconds = sum(len(phase.replicas) * times * one for phase, times, one in parts)
    slots = sum(count(phase).slots * times for phase, times, _ in parts)
    return {"seconds": seconds, "makespan": 0, "slots": slots}


def expanded(plan: Plan) -> dict[str, Any]:
    return _each(plan, _timed_expansion)


def in_c(plan: Plan, library: str) -> dict[str, Any]:
    walk = _walk_of(library)
    return _each(plan, lambda priced: _timed_c(walk, expand(priced)))


def _walk_of(library: str) -> Any:
    walk = ctypes.CDLL(library).longest_path
    walk.restype = ctypes.c_int64
    return walk


def in_networkx(plan: Plan) -> dict[str, Any]:
    import networkx as nx

    def walk(priced: PricedPhase) -> tuple[float, int]:
        graph = nx.DiGraph()
        graph.add_weighted_edges_from(_weighted(expand(priced)))
        return best(lambda: nx.dag_longest_path_length(graph), 1)

    return _each(plan, walk)


def in_rustworkx(plan: Plan) -> dict[str, Any]:
    import rustworkx  # pyright: ignore[reportMissingImports]

    def walk(priced: PricedPhase) -> tuple[float, int]:
        columns = expand(priced)
        graph = rustworkx.PyDiGraph(multigraph=False)
        graph.add_nodes_from(range(columns.rows + 1))
        graph.add_edges_from(_weighted(columns))
        return best(lambda: rustworkx.dag_longest_path_length(graph, weight_fn=lambda a, b, weight: weight), 1)

    return _each(plan, walk)


def _each(plan: Plan, walk: Callable[[PricedPhase], tuple[float, int]]) -> dict[str, Any]:
    """The sum over classes, each once for every replica, and the largest makespan."""
    seconds, makespan = 0.0, 0
    for phase in phases(plan):
        one, end = walk(price(phase, plan))
        seconds += one * len(phase.replicas)
        makespan = max(makespan, end)
    return {"seconds": seconds, "makespan": makespan}


def _timed_expansion(priced: PricedPhase) -> tuple[float, int]:
    def walk() -> int:
        columns = expand(priced)
        return int((longest_path(columns) + columns.duration).max())

    return best(walk, 1)


def _timed_c(walk: Any, columns: Expanded) -> tuple[float, int]:
    ends = np.zeros(columns.rows, dtype=np.int64)
    arrays = (columns.first_edge, columns.sources, columns.duration, ends)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    return best(lambda: walk(ctypes.c_int64(columns.rows), *pointers))


def _weighted(columns: Expanded) -> list[tuple[int, int, int]]:
    """Edges with the duration of their tail, and one from every row to an end."""
    targets = np.repeat(np.arange(columns.rows), np.diff(columns.first_edge))
    inner = zip(columns.sources.tolist(), targets.tolist(), columns.duration[columns.sources].tolist(), strict=True)
    last = ((row, columns.rows, time) for row, time in enumerate(columns.duration.tolist()))
    return [*inner, *last]


def size(plan: Plan) -> dict[str, Any]:
    sizes = [count(phase) for phase in phases(plan)]
    replicas = [(found, found.replicas) for found in sizes]
    return {
        "slots": sum(found.slots for found in sizes),
        "rows": sum(found.rows * times for found, times in replicas),
        "edges": sum(found.edges * times for found, times in replicas),
        "largest": max(found.rows for found in sizes),
        "bytes": max(found.bytes for found in sizes),
        "classes": len(sizes),
    }


def bandwidth(_: Plan) -> dict[str, Any]:
    """Bytes a second that numpy copies, read and written, from arrays past every cache; the best of five."""
    source = np.ones(1 << 26, dtype=np.int64)
    target = np.empty_like(source)
    seconds, _ = best(lambda: np.copyto(target, source), 5)
    return {"bytes_per_second": 2 * source.nbytes / seconds}


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "size": size, "grouped": grouped, "expanded": expanded, "c": in_c, "networkx": in_networkx,
    "rustworkx": in_rustworkx, "bandwidth": bandwidth, "request": grouped_request, "c-request": request_in_c,
}  # fmt: skip


def main(kind: str, case: str, load: str, *more: str) -> None:
    """Measure and print, without a collector as the program."""
    gc.disable()
    plan = plan_of(case, load)
    before = peak_bytes()
    found = KINDS[kind](plan, *more)
    print(json.dumps(found | {"peak": peak_bytes(), "peak_before": before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
