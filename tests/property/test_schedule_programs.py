"""The grouped schedule equals the longest paths through the rank-by-rank expansion, in every start and end.

Twice: for small phases made at random, whose durations differ by rank and copy, and for plans drawn from strategies,
models and loads. The expansion knows edges only; lanes, groups, barriers and messages are in it as edges.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.driver.check import check
from dagc.export.expanded import Expanded, expand, pieces
from dagc.export.expanded_rows import count, slots
from dagc.graph.priced import NodeCost, PricedPhase
from dagc.schedule.schedule import schedule
from dagc.schedule.timeline import Timeline
from dagc.source import Source
from tests.harness.effort import examples
from tests.harness.longest import longest_path
from tests.property.test_timeline import ALL_CHECKS, PROPERTY, phases

COLUMNS = ("step", "micro_batch", "stage", "segment", "copy", "node")
REAL = settings(max_examples=examples(12, 25), deadline=None, suppress_health_check=ALL_CHECKS, derandomize=True)

STRATEGIES = st.sampled_from([
    "ep 8", "tp 8", "dp 2 < ep 4 >", "pp 2 < ep 4 >", "pp 2 [micro 3] < ep 4 ; tp 2 >", "pp 3 [micro 2] < ep 2 >",
    "ep 8 [overlap 2]", "pp 2 < tp 2 > | ep 4", "tp 4 | ep 3", "prefill < pp 2 < ep 4 > > | decode < ep 8 >",
    "prefill < dp 2 < ep 2 > > | decode < pp 2 < ep 2 > >", "ep 6 ; tp 4", "dp 3 < ep 2 >", "pp 4 < ep 2 ; tp 2 >",
])  # fmt: skip
MODELS = st.sampled_from(["deepseek-v3 { layers 5 }", "mixtral-8x7b { layers 4 }", "gpt-oss-20b { layers 3 }"])
LOADS = st.tuples(st.integers(8, 64), st.integers(16, 512), st.sampled_from(["", " routing zipf 1"]))


def compare(timeline: Timeline) -> Expanded:
    """Assert that every start and end of every run is that of the expansion, and that both hold the same slots."""
    expanded = expand(timeline.priced)
    starts = longest_path(expanded)
    real = np.flatnonzero(expanded.node >= 0)
    keys = np.stack([getattr(expanded, name)[real] for name in COLUMNS], axis=1)
    begins = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=-2) != 0, axis=1))
    place = {tuple(keys[begin].tolist()): real[begin] for begin in begins}
    seen: dict[tuple[int, ...], int] = {}
    graph, total = timeline.priced.graph, 0
    for run in timeline.runs:
        where = (run.step, run.micro_batch, run.stage, run.position)
        offset = seen.get(where, 0)
        seen[where] = offset + run.count
        teams = graph.programs[run.size][run.stage].teams
        for copy in range(run.count):
            for index, node in enumerate(graph.templates[run.template].nodes):
                team = graph.teams[teams[node.team]]
                row = place[*where, offset + copy, index]
                rows = slice(row, row + team.width)
                duration = timeline.priced.costs[run.template][index].duration
                own = duration[offset + copy] if duration.ndim == 2 else duration
                begun = np.broadcast_to(run.start(copy, index), (team.width,))
                assert np.array_equal(starts[rows], begun), (where, copy, node.key)
                assert np.array_equal(starts[rows] + expanded.duration[rows], begun + own)
                assert np.array_equal(expanded.rank[rows], team.ranks)
                total += team.width
    assert total == real.size
    return expanded


def check_columns(priced: PricedPhase, expanded: Expanded) -> None:
    """What was counted is what is there; rows are in topological order."""
    size = count(priced.graph)
    assert (expanded.rows, expanded.sources.size, expanded.nbytes) == (size.rows, size.edges, size.bytes)
    real = (expanded.node >= 0) & (expanded.step == 0)
    assert slots(priced.graph) == int(real.sum())
    rows = np.repeat(np.arange(expanded.rows), np.diff(expanded.first_edge))
    assert bool(np.all(expanded.sources < rows)) and bool(np.all(expanded.sources >= 0))
    assert bool(np.all(expanded.duration[expanded.node >= 0] >= 0))


@PROPERTY
@given(phases())
def test_random_phases(priced: PricedPhase) -> None:
    check_columns(priced, compare(schedule(priced)))


@PROPERTY
@given(phases())
def test_pieces_are_the_whole(priced: PricedPhase) -> None:
    whole, parts = expand(priced), list(pieces(priced))
    for name in (*COLUMNS, "rank", "lane", "duration", "sources", "parts"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)), name
    joined = np.concatenate([*(part.first_edge[:-1] for part in parts), whole.first_edge[-1:]])
    assert np.array_equal(joined, whole.first_edge)
    assert [part.first for part in parts] == np.cumsum([0, *(part.rows for part in parts[:-1])]).tolist()


@REAL
@given(STRATEGIES, MODELS, LOADS, st.booleans(), st.integers(0, 2**32 - 1))
def test_plans(strategy: str, model: str, load: tuple[int, int, str], even: bool, seed: int) -> None:
    drawn = priced_phases(strategy, model, load)
    assert drawn
    for priced in drawn:
        loaded = priced if even else uneven(priced, np.random.default_rng(seed))
        check_columns(loaded, compare(schedule(loaded)))


def priced_phases(strategy: str, model: str, load: tuple[int, int, str]) -> list[PricedPhase]:
    batch, prompt, routing = load
    facts = f"model {model}\ncluster h100-sxm\nworkload {{ batch {batch} prompt {prompt} output 8{routing} }}\n"
    outcome = check(Source("plan.moe", f"{facts}strategy a = {strategy}\n"))
    return [timeline.priced for one in outcome.checked for timeline in one.priced.timelines or ()]


def uneven(priced: PricedPhase, random: np.random.Generator) -> PricedPhase:
    """The same phase with durations drawn by rank, equal within groups; some ranks are slower throughout."""
    graph = priced.graph
    widths = {
        segment.template: [graph.teams[team].width for team in program.teams]
        for _, program, _, segment in graph.segments()
    }
    costs = tuple(
        tuple(_uneven(cost, node, widths[index][node.team], random) for node, cost in zip(t.nodes, own, strict=True))
        if index in widths
        else own
        for index, (t, own) in enumerate(zip(graph.templates, priced.costs, strict=True))
    )
    return PricedPhase(graph, costs)


def _uneven(cost: NodeCost, node, width: int, random: np.random.Generator) -> NodeCost:
    if random.random() < 0.4 or not cost.duration.any():
        return cost
    times = random.integers(1, 1000, width)
    if node.communication:
        members = node.communication.groups.members
        times[members] = times[members].max(axis=1, keepdims=True)
    return replace(cost, duration=cost.duration.max(axis=-1, keepdims=True) * times // 100)
