"""Replicas that differ are computed apart, and the slowest one is what a deployment is judged by and shows."""

from __future__ import annotations

from dagc.driver.check import check
from dagc.driver.outcome import Checked
from dagc.source import Source

PLAN = """model mixtral-8x7b
cluster h100-sxm x 64 {{ {cluster} }}
workload {{ batch {batch}    prompt 512    output 16 }}
strategy main = {strategy}
"""


def checked(strategy: str, batch: int, cluster: str = "") -> Checked:
    """The only strategy of a plan."""
    return check(Source("p", PLAN.format(strategy=strategy, batch=batch, cluster=cluster))).checked[0]


def seconds(one: Checked) -> tuple[float, float]:
    """TTFT and TPOT."""
    metrics = one.priced.assessment.metrics
    assert metrics is not None
    return metrics.prefill.seconds, metrics.decode.seconds


def test_even_replicas_are_one_class() -> None:
    one = checked("dp 4 < tp 2 >", 64)
    assert one.priced.graph is not None and one.priced.others == ()
    assert one.priced.graph.prefill.replicas == (0, 1, 2, 3)


def test_the_slowest_class_is_shown_and_judged() -> None:
    # Rank 5 is in replica 2 (ranks 4 and 5): that replica alone is slow, and the deployment as slow as it.
    even, slow = checked("dp 4 < tp 2 >", 64), checked("dp 4 < tp 2 >", 64, "slow 5 by 30 %")
    graph, timelines = slow.priced.graph, slow.priced.timelines
    assert graph is not None and timelines is not None
    assert graph.prefill.replicas == graph.decode.replicas == (2,)
    assert [p.replicas for p in graph.others] == [(0, 1, 3), (0, 1, 3)]
    assert all(t.priced.graph is p for t, p in zip(timelines, graph.phases, strict=True))
    assert all(t.priced.graph is p for t, p in zip(slow.priced.others, graph.others, strict=True))
    # A replica of its own with the same slow rank takes exactly as long; the others as long as ever.
    alone = checked("tp 2", 16, "slow 1 by 30 %")
    assert seconds(slow) == seconds(alone)
    assert seconds(slow) > seconds(even)
    fast = {str(t.priced.graph.phase): t.interval for t in slow.priced.others}
    undisturbed = even.priced.timelines
    assert undisturbed is not None
    assert fast == {str(t.priced.graph.phase): t.interval for t in undisturbed}


def test_computation_alone_slows_down_by_the_share() -> None:
    # One GPU has nothing to send: everything takes 1.25 times as long, but for half a picosecond a node.
    (ttft, tpot), (slow_ttft, slow_tpot) = seconds(checked("tp 1", 4)), seconds(checked("tp 1", 4, "slow 0 by 25 %"))
    assert abs(slow_ttft / ttft - 1.25) < 1e-8
    assert abs(slow_tpot / tpot - 1.25) < 1e-8


def test_a_remainder_of_the_batch_is_judged_by_the_fuller_replicas() -> None:
    # 6 over 4: 2 2 1 1.
    uneven, fuller = checked("dp 4 < tp 2 >", 6), checked("dp 4 < tp 2 >", 8)
    graph = uneven.priced.graph
    assert graph is not None
    assert graph.prefill.replicas == (0, 1) and graph.others[0].replicas == (2, 3)
    assert seconds(uneven) == seconds(fuller)
