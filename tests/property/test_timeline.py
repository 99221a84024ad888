"""The grouped schedule equals the expanded one, in every start and end, for random small graphs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.graph.priced import PricedPhase
from dagc.ops.communication import Matching
from dagc.plan.deployment import Phase
from dagc.schedule import recording
from dagc.schedule.executor import Room
from dagc.schedule.interpreter import Interpreter
from dagc.schedule.program import Program
from dagc.schedule.schedule import schedule, schedule_times
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Run, Timeline
from dagc.schedule.verify import verify
from tests.harness.effort import examples
from tests.property import timeline_graphs as make
from tests.property.timeline_oracle import Expanded, Key, steps_for

TIMES = st.integers(0, 20)
ALL_CHECKS = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
PROPERTY = settings(max_examples=examples(30, 60), deadline=None, suppress_health_check=ALL_CHECKS, derandomize=True)
FEW = settings(PROPERTY, max_examples=15)
"""For what the oracle takes long over; the longer tests take more."""


def durations(draw, width: int, even: bool, copies: int = 0):
    """By rank where they differ; `copies` rows of them where copies do, which may all be alike on each rank."""
    if copies and draw(st.booleans()):
        columns = draw(st.sampled_from([1, width]))
        row = st.lists(TIMES, min_size=columns, max_size=columns)
        return draw(st.lists(row, min_size=copies, max_size=copies))
    if even or width == 1 or draw(st.booleans()):
        return draw(TIMES)
    return draw(st.lists(TIMES, min_size=width, max_size=width))


def grouped(draw, width: int, even: bool, copies: int = 0):
    """A partition of the ranks, neighbours or strided or any, and a duration for each group, perhaps for each copy."""
    ranks = range(width)
    order = draw(st.one_of(st.just([*ranks]), st.just([*ranks[::2], *ranks[1::2]]), st.permutations(ranks)))
    size = draw(st.sampled_from([s for s in range(2, width + 1) if width % s == 0] or [width]))
    groups = [sorted(order[i : i + size]) for i in range(0, width, size)]
    if copies and draw(st.booleans()):
        return [_by_group(draw, width, groups) for _ in range(copies)], groups
    times = [0] * width
    alike = draw(TIMES)
    for group in groups:
        time = alike if even else draw(TIMES)
        for rank in group:
            times[rank] = time
    return (alike if even else times), groups


def _by_group(draw, width: int, groups: list[list[int]]) -> list[int]:
    times = [0] * width
    for group in groups:
        time = draw(TIMES)
        for rank in group:
            times[rank] = time
    return times


@st.composite
def layers(draw, width: int, pool_width: int, even: bool, copies: int = 0):
    """One template of a few nodes, with a pool's team where `pool_width` is not 0; of `copies` that differ."""
    nodes: list[make.Priced] = []
    for _ in range(draw(st.integers(1, 5))):
        team = draw(st.integers(0, 1)) if pool_width else 0
        wide = pool_width if team else width
        known = list(range(-1, len(nodes)))
        inputs = draw(st.lists(st.sampled_from(known), max_size=2, unique=True))
        after = draw(st.lists(st.sampled_from(known), max_size=1))
        kind = draw(st.sampled_from(["compute", "collective", "message"]))
        if kind == "collective" and wide > 1:
            time, groups = grouped(draw, wide, even, copies)
            nodes.append(make.collective(time, groups, inputs, after, team))
        elif kind == "message" and pool_width:
            nodes.append(make.send(durations(draw, wide, even, copies), wide, inputs, team))
            other = width if team else pool_width
            received = durations(draw, other, even, copies)
            nodes.append(make.receive(received, other, Matching.TEMPLATE, len(nodes) - 1, (len(nodes) - 1,), 1 - team))
        else:
            nodes.append(make.compute(durations(draw, wide, even, copies), inputs, after, team))
    output = draw(st.integers(0, len(nodes) - 1))
    return make.template(*nodes, outputs=(output,))


def slowed(priced: PricedPhase, rank: int, factor: int) -> PricedPhase:
    """The same with a rank of the stages' own teams that computes `factor` times as long."""

    def slow(node, cost, width: int):
        if node.team or node.communication:
            return cost
        table = np.array(np.broadcast_to(cost.duration, (*cost.duration.shape[:-1], width)))
        table[..., rank] *= factor
        return make.cost(table.tolist(), cost.bound)

    width = priced.graph.teams[0].width
    costs = (
        tuple(slow(node, cost, width) for node, cost in zip(template.nodes, costs, strict=True))
        for template, costs in zip(priced.graph.templates, priced.costs, strict=True)
    )
    return PricedPhase(priced.graph, tuple(costs))


@st.composite
def phases(draw, largest: int = 3, is_pipeline: bool = False) -> PricedPhase:
    """Of a few stages and micro-batches; `is_pipeline`: of many micro-batches, on stages with lanes of their own."""
    even = draw(st.booleans())
    width = draw(st.sampled_from([1, 2, 4, 6]))
    pool = "" if is_pipeline else draw(st.sampled_from(["", "", "each", "shared"]))
    pool_width = draw(st.integers(1, 3)) if pool else 0
    kind = draw(st.sampled_from([Phase.PREFILL, Phase.DECODE]))
    least = 2 if is_pipeline else 1
    stages = draw(st.integers(least, largest))
    batches = draw(st.integers(5, 14)) if is_pipeline else draw(st.integers(1, largest))
    sizes = draw(st.integers(1, 2))
    templates = [draw(layers(width, pool_width, even)) for _ in range(draw(st.integers(1, 3)))]
    edges = len(templates)
    passed = durations(draw, width, even)
    templates.append(make.template(make.receive(passed, width, Matching.STAGE)))
    templates.append(make.template(make.send(passed, width)))
    programs = []
    for _ in range(sizes):
        sized = []
        for stage in range(stages):
            inner = draw(st.lists(st.tuples(st.integers(0, edges - 1), st.integers(1, 7)), min_size=1, max_size=2))
            if draw(st.booleans()):
                copies = draw(st.integers(1, 5))
                inner.insert(draw(st.integers(0, len(inner))), (len(templates), copies))
                templates.append(draw(layers(width, pool_width, even, copies)))
            receives = stages > 1 and (stage > 0 or kind is Phase.DECODE)
            sends = stages > 1 and (stage < stages - 1 or kind is Phase.DECODE)
            sized.append([(edges, 1)] * receives + inner + [(edges + 1, 1)] * sends)
        programs.append(sized)
    micro = sorted(draw(st.lists(st.integers(0, sizes - 1), min_size=batches, max_size=batches)))
    built = make.phase(templates, programs, micro, width, kind, pool, pool_width or 1)
    return slowed(built, draw(st.integers(0, width - 1)), 2) if draw(st.booleans()) else built


def explicit_starts(timeline: Timeline, runs: Iterable[Run]) -> dict[Key, list[int]]:
    """Every start of some runs on every rank, copies of a segment numbered over its runs."""
    graph = timeline.priced.graph
    offsets: dict[tuple[int, ...], int] = {}
    found: dict[Key, list[int]] = {}
    for run in runs:
        place = (run.step, run.micro_batch, run.stage, run.position)
        program = graph.programs[run.size][run.stage]
        for copy in range(run.count):
            for n, node in enumerate(graph.templates[run.template].nodes):
                width = graph.teams[program.teams[node.team]].width
                starts = np.broadcast_to(run.start(copy, n), (width,)).tolist()
                found[(*place, offsets.get(place, 0) + copy, n)] = starts
        offsets[place] = offsets.get(place, 0) + run.count
    return found


@PROPERTY
@given(phases())
def test_grouped_equals_expanded(priced: PricedPhase) -> None:
    timeline = schedule(priced)
    oracle = Expanded(priced, steps_for(priced, 3))
    starts = explicit_starts(timeline, timeline.runs)
    assert {key for key in oracle.starts if key[0] == 0} <= set(starts)
    assert starts == {key: oracle.starts[key] for key in starts}
    assert timeline.makespan == oracle.makespan()


@PROPERTY
@given(phases(is_pipeline=True))
def test_a_pipeline_of_many_micro_batches_equals_the_expanded_one(priced: PricedPhase) -> None:
    """Of the first step, and of the decode steps after it that are kept."""
    timeline = schedule(priced)
    oracle = Expanded(priced, steps_for(priced, 3))
    starts = explicit_starts(timeline, (*timeline.runs, *timeline.later))
    assert starts == {key: oracle.starts[key] for key in starts}
    assert {key[0] for key in starts} == set(range(steps_for(priced, 3)))
    assert timeline.makespan == oracle.makespan()


@st.composite
def unequal_pipelines(draw, kind: Phase = Phase.DECODE) -> PricedPhase:
    """Stages that are not equally fast: what an early stage waits for comes ever later, until it does.

    On two ranks that never meet, each may come to wait in another micro-batch.
    """
    width, stages = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    times = [draw(st.lists(st.integers(20, 40), min_size=width, max_size=width)) for _ in range(stages)]
    templates = [make.template(make.compute(time if width > 1 else time[0])) for time in times]
    templates += [make.template(make.receive(1, width, Matching.STAGE)), make.template(make.send(1, width))]
    loops = kind is Phase.DECODE
    programs = [
        [(stages, 1)] * (loops or stage > 0) + [(stage, 1)] + [(stages + 1, 1)] * (loops or stage < stages - 1)
        for stage in range(stages)
    ]
    return make.phase(templates, [programs], [0] * draw(st.integers(4, 20)), width, kind, "", 1)


@settings(PROPERTY, max_examples=examples(75, 150))
@given(unequal_pipelines())
def test_a_stage_that_comes_to_wait_does_so_in_the_right_micro_batch(priced: PricedPhase) -> None:
    timeline = schedule(priced)
    oracle = Expanded(priced, 3)
    starts = explicit_starts(timeline, (*timeline.runs, *timeline.later))
    assert starts == {key: oracle.starts[key] for key in starts}


@PROPERTY
@given(phases())
def test_verifier_and_path(priced: PricedPhase) -> None:
    assert_verified(priced)


@PROPERTY
@given(phases(is_pipeline=True))
def test_verifier_and_path_of_pipelines_of_many_micro_batches(priced: PricedPhase) -> None:
    assert_verified(priced)


@settings(PROPERTY, max_examples=examples(75, 150))
@given(unequal_pipelines(Phase.PREFILL))
def test_verifier_and_path_where_stages_come_to_wait(priced: PricedPhase) -> None:
    assert_verified(priced)


ANY = phases() | phases(is_pipeline=True) | unequal_pipelines(Phase.PREFILL) | unequal_pipelines()


@settings(PROPERTY, max_examples=examples(12, 20))
@given(ANY)
def test_the_kernel_is_the_interpreter(priced: PricedPhase) -> None:
    assert_alike(priced)


@pytest.mark.slow
@settings(PROPERTY, max_examples=200)
@given(ANY)
def test_the_kernel_is_the_interpreter_in_more_phases(priced: PricedPhase) -> None:
    assert_alike(priced)


def assert_alike(priced: PricedPhase) -> None:
    """Every start, the path with its ties, shares, breakdown and slack; so is a record that is held in parts."""
    whole = schedule(priced)
    assert_same(whole, schedule(priced, whole_bytes=512))
    times = schedule_times(priced, TemplateCache())
    assert (times.makespan, times.interval) == (whole.makespan, whole.interval)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "executor_of", interpreted)
        assert_same(whole, schedule(priced))


def interpreted(program: Program, templates, tables, record: Room) -> Interpreter:
    return Interpreter(program, templates, record)


def assert_same(one: Timeline, other: Timeline) -> None:
    assert (one.makespan, one.interval, one.shares, one.busiest) == (
        other.makespan, other.interval, other.shares, other.busiest
    )  # fmt: skip
    assert explicit_starts(one, one.shown()) == explicit_starts(other, other.shown())
    assert np.array_equal(one.path.columns, other.path.columns)
    assert one.breakdown == other.breakdown
    assert one.slack == other.slack


def assert_verified(priced: PricedPhase) -> None:
    """The path is one without a gap through starts of the timeline, from 0 to its end."""
    timeline = schedule(priced)
    assert verify(timeline) == ()
    assert timeline.path[0].start == 0
    assert timeline.path[-1].end == timeline.makespan
    for slot in timeline.path:
        starts = timeline.runs[slot.run].start(slot.copy, slot.node)
        assert slot.start == starts[slot.rank % len(starts)]
    for before, after in pairwise(timeline.path):
        graph, run = priced.graph, timeline.runs[after.run]
        meets = graph.templates[run.template].nodes[after.node].op.name == "receive"
        assert before.end == after.start or (meets and (before.start == after.start or before.end == after.end))
    shares = timeline.shares
    assert abs(shares.compute + shares.memory + shares.communication + shares.bubble - 1) < 1e-9
    assert min(shares.compute, shares.memory, shares.communication, shares.bubble) >= -1e-12


@FEW
@given(phases())
def test_interval_is_the_pace_of_many_steps(priced: PricedPhase) -> None:
    assert_pace(priced)


@pytest.mark.slow
@PROPERTY
@given(phases())
def test_interval_is_the_pace_of_many_steps_of_more_phases(priced: PricedPhase) -> None:
    assert_pace(priced)


def assert_pace(priced: PricedPhase) -> None:
    """Over 32 late steps, a whole number of periods of 1, 2, 4 …; other periods leave less than one step."""
    if priced.graph.phase is not Phase.DECODE:
        return
    timeline = schedule(priced)
    oracle = Expanded(priced, 73)
    span = oracle.makespan(72) - oracle.makespan(40)
    assert abs(span - 32 * timeline.interval) <= max(32, 2 * timeline.interval)


@settings(FEW, max_examples=examples(2, 4))
@given(phases(largest=2))
def test_slack_is_what_a_node_may_be_late(priced: PricedPhase) -> None:
    assert_slack(priced)


@pytest.mark.slow
@settings(FEW, max_examples=20)
@given(phases(largest=2))
def test_slack_is_what_a_node_may_be_late_in_more_phases(priced: PricedPhase) -> None:
    assert_slack(priced)


def assert_slack(priced: PricedPhase) -> None:
    """A node late by its slack moves no end, and late by one more at some execution moves it."""
    timeline = schedule(priced)
    steps = steps_for(priced, 2)
    plain = Expanded(priced, steps)
    for (size, stage, position), slacks in timeline.slack.items():
        for node, slack in enumerate(slacks):
            places = [
                (key, rank)
                for key in plain.starts
                if (key[0], key[2], key[3], key[5]) == (0, stage, position, node)
                and priced.graph.micro_batches[key[1]] == size
                for rank in range(len(plain.starts[key]))
            ]
            late = [Expanded(priced, steps, {p: _delay(plain, p, slack)}).makespan() for p in places]
            assert max(late) == timeline.makespan
            later = [Expanded(priced, steps, {p: _delay(plain, p, slack + 1)}).makespan() for p in places]
            assert max(later) > timeline.makespan


def _delay(plain: Expanded, place, slack: int) -> int:
    """Delays are added to a rank's own readiness, which for a group member may be before the common start."""
    key, rank = place
    ready = plain.own_ready[key][rank]
    return plain.starts[key][rank] - ready + slack
