"""Schedules of graphs that are small enough to do by hand. Times in picoseconds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dagc.graph.graph import INPUT
from dagc.graph.priced import Bound
from dagc.ops.communication import Matching
from dagc.ops.op import Lane
from dagc.plan.deployment import Phase
from dagc.schedule.schedule import schedule
from tests.property.timeline_graphs import collective, compute, phase, receive, send, template


def pipeline(stages: int, micro_batches: int, kind: Phase = Phase.PREFILL, layers: int = 10):
    """Stages of `layers` layers of 7 ps, with messages of 2 ps."""
    templates = [template(compute(7)), template(receive(2, 1, Matching.STAGE)), template(send(2, 1))]
    loops = kind is Phase.DECODE and stages > 1
    programs = [
        [(1, 1)] * (s > 0 or loops) + [(0, layers)] + [(2, 1)] * (s < stages - 1 or loops) for s in range(stages)
    ]
    return phase(templates, [programs], [0] * micro_batches, kind=kind)


def test_layers_follow_each_other() -> None:
    timeline = schedule(phase([template(compute(7), compute(3, (0,)))], [[[(0, 1000)]]], [0]))
    assert timeline.makespan == 1000 * 10
    (run,) = timeline.runs
    assert run.start(999, 1).tolist() == [999 * 10 + 7]


def test_pipeline_fills_and_drains() -> None:
    """4 stages, 3 micro-batches: the first leaves after 3·(70 + 2) + 70, the other two follow 74 apart.

    A middle stage has one communication lane in program order: receive, work, send is 2 + 70 + 2 a micro-batch.
    """
    timeline = schedule(pipeline(4, 3))
    assert timeline.makespan == 3 * 72 + 70 + 2 * 74


def test_many_micro_batches() -> None:
    """4 stages, 2,000 micro-batches, as above: 3·72 + 70 + 1,999·74, of 20,000 runs of segments.

    Each 74 apart, a middle stage receives, works and sends without a pause: its lanes are the way back, in 12 slots a
    micro-batch (10 layers, receive and send).
    """
    timeline = schedule(pipeline(4, 2000))
    assert timeline.makespan == 3 * 72 + 70 + 1999 * 74
    assert len(timeline.runs) == 2000 * (2 + 3 + 3 + 2)
    assert len(timeline.path) == pytest.approx(2000 * 12, rel=0.01)


def test_a_receive_runs_beside_its_send() -> None:
    timeline = schedule(pipeline(2, 1))
    starts = {(run.stage, run.template): run.start(0, 0).tolist() for run in timeline.runs}
    assert starts[0, 2] == starts[1, 1] == [70]


@pytest.mark.parametrize(
    ("stages", "micro_batches", "interval"), [(1, 1, 70), (1, 3, 210), (4, 4, 296), (4, 2, 288), (2, 5, 370)]
)
def test_decode_interval(stages: int, micro_batches: int, interval: int) -> None:
    """A micro-batch comes round after stages·(70 + 2); a stage needs 70 for each, with messages 74: the larger."""
    timeline = schedule(pipeline(stages, micro_batches, Phase.DECODE))
    assert timeline.interval == interval


def test_a_group_waits_for_its_slowest_and_the_path_goes_through_it() -> None:
    """Ranks work 5, 9, 4, 6; pairs (0, 1) and (2, 3) exchange for 2, then all exchange for 1: 9 + 2 + 1."""
    layer = template(compute([5, 9, 4, 6]), collective(2, [[0, 1], [2, 3]], (0,)), collective(1, [[0, 1, 2, 3]], (1,)))
    timeline = schedule(phase([layer], [[[(0, 1)]]], [0], width=4))
    assert timeline.makespan == 12
    (run,) = timeline.runs
    assert run.start(0, 1).tolist() == [9, 9, 6, 6]
    assert [(slot.node, slot.start, slot.end) for slot in timeline.path] == [(0, 0, 9), (1, 9, 11), (2, 11, 12)]
    assert timeline.path[0].rank == 1
    assert timeline.slack[0, 0, 0] == (0, 0, 0)


def test_layers_that_differ_add_up() -> None:
    """Two ranks: layers of (5, 1), (1, 7), (2, 2), each ended by an exchange of 1 in which both start together.

    The slower of the two counts in each: 5 + 1, 7 + 1, 2 + 1. Rank 1 of the last layer computes from 14 to 16.
    """
    layer = template(compute([[5, 1], [1, 7], [2, 2]]), collective(1, [[0, 1]], (0,)))
    timeline = schedule(phase([layer], [[[(0, 3)]]], [0], width=2))
    (run,) = timeline.runs
    assert timeline.makespan == 6 + 8 + 3
    assert [int(run.start(copy, 1).max()) for copy in range(3)] == [5, 13, 16]
    assert [(slot.copy, slot.rank) for slot in timeline.path if slot.node == 0] == [(0, 0), (1, 1), (2, 0)]
    assert run.start(2, 0).tolist() in ([14], [14, 14])
    assert timeline.slack[0, 0, 0] == (0, 0)


def test_the_path_through_many_layers_is_each_of_them() -> None:
    """1000 layers of 7 and 3 in a row: 2000 slots, back to back."""
    timeline = schedule(phase([template(compute(7), compute(3, (0,)))], [[[(0, 1000)]]], [0]))
    assert len(timeline.path) == 2000
    assert [(slot.copy, slot.node, slot.start, slot.end) for slot in timeline.path[998:1001]] == [
        (499, 0, 4990, 4997),
        (499, 1, 4997, 5000),
        (500, 0, 5000, 5007),
    ]
    assert all(before.end == after.start for before, after in pairwise(timeline.path))


def test_slack_of_a_side_branch() -> None:
    """Communication of 3 beside computation of 10 may be 7 late; what joins them may not."""
    layer = template(compute(4), collective(3, [[0, 1]], (0,)), compute(10, (0,)), compute(1, (1, 2)))
    timeline = schedule(phase([layer], [[[(0, 5)]]], [0], width=2))
    assert timeline.makespan == 5 * 15
    assert timeline.slack[0, 0, 0] == (0, 7, 0, 0)


def test_shares_of_one_rank() -> None:
    """Of 20: arithmetic 6, memory 4, communication 8 of which 3 hide behind computation, 5 alone; nothing waits."""
    layer = template(
        compute(6, (INPUT,)),
        collective(8, [[0, 1]], (0,)),
        compute(3, (0,), bound=Bound.MEMORY),
        compute(1, (1, 2), bound=Bound.MEMORY),
    )
    timeline = schedule(phase([layer], [[[(0, 4)]]], [0], width=2))
    shares = timeline.shares
    assert timeline.makespan == 4 * 15
    assert (shares.compute, shares.memory, shares.communication, shares.bubble) == pytest.approx(
        (6 / 15, 4 / 15, 5 / 15, 0)
    )
    assert timeline.busy[0, Lane.COMMUNICATION].tolist() == [32]


def test_shares_of_layers_that_differ() -> None:
    """Layers compute 4, 6, 2 and exchange 3, 5, 1: the first micro-batch ends at 21, and at 20 the next one begins.

    So each but the first begins beside the last exchange of the one before, for 1, and goes on as the first did.
    """
    layer = template(compute([[4], [6], [2]]), collective([[3], [5], [1]], [[0, 1]], (0,)))
    timeline = schedule(phase([layer], [[[(0, 3)]]], [0, 0, 0], width=2))
    shares = timeline.shares
    assert timeline.makespan == 61
    assert (shares.compute, shares.communication, shares.bubble) == pytest.approx((36 / 61, 25 / 61, 0))


def test_fill_and_drain_are_bubble() -> None:
    """The busiest stage works 3·70 of the makespan, 434 as above."""
    timeline = schedule(pipeline(4, 3))
    assert timeline.shares.compute == pytest.approx(210 / 434)
    assert timeline.shares.bubble > 0.4


def test_classes_of_ranks_that_never_meet_keep_their_own_pace() -> None:
    """Two ranks of a dense model with 3 and 5 a layer: a step takes the slower one 5·10."""
    timeline = schedule(phase([template(compute([3, 5]))], [[[(0, 10)]]], [0], width=2, kind=Phase.DECODE))
    assert (timeline.makespan, timeline.interval) == (50, 50)


def test_a_shared_pool_serves_stages_in_wavefronts() -> None:
    """Two stages share a pool of experts that takes 4 a layer; a stage alone takes 1 + 4 a layer, in 3 layers.

    Micro-batch 0 has the pool to itself in stage 0 (15) and, beside micro-batch 1, each pair of layers needs 2·4.
    """
    layer = template(
        compute(1),
        send(0, 1, (0,)),
        receive(0, 1, Matching.TEMPLATE, 1, (1,), 1),
        compute(4, (2,), team=1),
        send(0, 1, (3,), 1),
        receive(0, 1, Matching.TEMPLATE, 4, (4,)),
    )
    edges = [template(receive(0, 1, Matching.STAGE)), template(send(0, 1))]
    programs = [[(0, 3), (2, 1)], [(1, 1), (0, 3)]]
    timeline = schedule(phase([layer, *edges], [programs], [0, 0], pool="shared"))
    starts = sorted(
        int(run.start(copy, 3)[0]) for run in timeline.runs if run.template == 0 for copy in range(run.count)
    )
    assert all(later - earlier >= 4 for earlier, later in pairwise(starts))
    assert len(starts) == 12
