"""Skewed routing and slowed ranks: chances, loads by copy and rank, classes of replicas; figures by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dagc.catalog.model import Experts
from dagc.cost.price import price
from dagc.facts.facts import declare_facts
from dagc.graph.graph import Graph, Node, PhaseGraph, Segment
from dagc.graph.text import to_text
from dagc.graph.verify import verify
from dagc.lower.lower import lower
from dagc.lower.routing import chances_by_popularity, popularity_ranks, slot_chances, slot_ranks
from dagc.plan.plan import Plan, replica_classes
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.plan.workload import Workload
from dagc.source import Source
from dagc.syntax.parser import parse

MODEL = """model tiny {
    layers 6    hidden 64    vocab 1000    dtype bf16    first_dense 1    dense_ffn 128
    attention { heads 8    kv_heads 8    head_dim 8 }
    experts 4 { top 2    ffn 32 }
}
"""


def plan_of(strategy: str, workload: str = "", cluster: str = "") -> Plan:
    """A plan of the tiny model on nodes of 8."""
    text = f"{MODEL}cluster h100-sxm x 64 {{ {cluster} }}\nworkload {{ {workload} }}\nstrategy main = {strategy}\n"
    parsed = parse(Source("test", text))
    assert parsed.file is not None
    assert not parsed.diagnostics
    facts, problems = declare_facts(parsed.file, (), Path())
    assert facts is not None
    assert not problems
    deployment, wrong = resolve(annotate(parsed.file.strategies[0]))
    assert deployment is not None
    assert not wrong
    return Plan(deployment, facts)


def nodes_of(phase: PhaseGraph, key: str) -> Iterator[tuple[Segment, Node]]:
    """Every node of a key, with the segment that runs it."""
    for _, _, _, segment in phase.segments():
        for node in phase.templates[segment.template].nodes:
            if node.key == key:
                yield segment, node


def one(phase: PhaseGraph, key: str) -> Node:
    """The only node of a key."""
    ((_, node),) = nodes_of(phase, key)
    return node


def test_chances_are_proportional_and_sum_to_top() -> None:
    # Weights 1, 1/2, 1/3, 1/4 sum to 25/12; one of four: 12/25, 6/25, 4/25, 3/25.
    assert chances_by_popularity(4, 1, 1.0) == pytest.approx([0.48, 0.24, 0.16, 0.12])


def test_an_expert_is_chosen_at_most_once() -> None:
    # Two of four: 2 * 12/25 = 24/25 is below 1. Two with exponent 2: weights 1, 1/4, 1/9, 1/16, sum 205/144; the first
    # would have 2 * 144/205 > 1, so it is certain, and one choice is left for 1/4, 1/9, 1/16 of sum 61/144.
    assert chances_by_popularity(4, 2, 1.0) == pytest.approx([0.96, 0.48, 0.32, 0.24])
    assert chances_by_popularity(4, 2, 2.0) == pytest.approx([1.0, 36 / 61, 16 / 61, 9 / 61])


def test_no_exponent_is_too_steep() -> None:
    assert chances_by_popularity(4, 2, 1e12) == pytest.approx([1, 1, 0, 0])
    assert chances_by_popularity(1, 1, 3.0) == pytest.approx([1])


def test_each_layer_draws_its_own_order_from_seed_and_number() -> None:
    drawn = popularity_ranks(64, 8, 5)
    assert np.array_equal(np.sort(drawn, axis=1), np.tile(np.arange(64), (8, 1)))
    assert len(np.unique(drawn, axis=0)) == 8
    # The generator and its seeding are part of the contract: layer 3 of seed 5, drawn by itself.
    alone = np.random.Generator(np.random.PCG64(np.random.SeedSequence([5, 3]))).permutation(64)
    assert np.array_equal(drawn[3], alone)
    # A model of fewer layers has the same first ones.
    assert np.array_equal(popularity_ranks(64, 4, 5), drawn[:4])
    assert not np.array_equal(popularity_ranks(64, 8, 6), drawn)


def test_redundant_slots_hold_the_most_popular_experts_in_turn() -> None:
    # Chances 0.96, 0.48, 0.32, 0.24 by popularity; in this layer expert 2 is first, then 0, 3, 1. Two redundant slots
    # go to experts 2 and 0, whose copies have half each: 0.48 and 0.24.
    workload = Workload(1, 1, 1, routing="zipf", zipf_exponent=1.0)
    order = np.array([[2, 0, 3, 1]])
    chances = slot_chances(Experts(4, 2, 32), 2, order, workload)
    assert chances == pytest.approx(np.array([[0.24, 0.24, 0.48, 0.32, 0.48, 0.24]]))


def test_redundant_slots_are_dealt_out_to_the_ranks() -> None:
    # 5 experts and 4 redundant ones on 4 ranks: 3 2 2 2 slots. The redundant ones lie on 0 1 2 3, so the experts have
    # 2 1 1 1 places: 0 and 1 on the first rank, then one on each.
    assert slot_ranks(np.array([3, 2, 2, 2]), 4).tolist() == [0, 0, 1, 2, 3, 0, 1, 2, 3]
    # 2 and 3 on 4 ranks: 2 1 1 1 slots, redundant ones on 0 1 2, which leaves places on 0 and 3.
    assert slot_ranks(np.array([2, 1, 1, 1]), 3).tolist() == [0, 3, 0, 1, 2]


def test_a_rank_computes_the_tokens_of_its_experts() -> None:
    # 2 ranks of 2 experts each, 8 sequences: each decode step has 8 tokens on 2 ranks. Layer 1 (the first MoE one) has
    # the order of seed 0 and layer 1; the rank's rows are 8 times the chances of experts 0 and 1, or 2 and 3.
    plan = plan_of("ep 2", "batch 8    prompt 16    output 4    routing zipf 1")
    node = one(lower(plan).decode, "moe.experts.down")
    order = popularity_ranks(4, 6, 0)[1:]
    chances = np.empty((5, 4))
    for layer, ranks in enumerate(order):
        chances[layer, ranks] = [0.96, 0.48, 0.32, 0.24]
    rows = 8 * chances.reshape(5, 2, 2).sum(axis=2)
    assert node.flops == pytest.approx(2 * rows * 32 * 64)
    # Weights of an expert are read if any of the 8 tokens chose it: 64·32 elements of 2 bytes; rows are 2 bytes wide.
    hit = (1 - (1 - chances) ** 8).reshape(5, 2, 2).sum(axis=2)
    assert node.memory_bytes == pytest.approx(hit * 64 * 32 * 2 + rows * (64 + 32) * 2)


def test_what_is_sent_stays_even() -> None:
    plan = plan_of("ep 2", "batch 8    prompt 16    output 4    routing zipf 1")
    communication = one(lower(plan).decode, "moe.dispatch").communication
    assert communication is not None
    # 4 tokens a rank, each to 2 experts, 64 wide, 2 bytes.
    assert communication.bytes == pytest.approx([4 * 2 * 64 * 2])


def test_layers_keep_their_draw_whatever_stage_they_are_in() -> None:
    workload = "batch 8    prompt 16    output 4    routing zipf 1 seed 3"
    whole = one(lower(plan_of("ep 2", workload)).prefill, "moe.experts.up").flops
    staged = lower(plan_of("pp 3 [micro 1] < ep 2 >", workload)).prefill
    parts = [np.atleast_2d(node.flops) for _, node in nodes_of(staged, "moe.experts.up")]
    assert np.concatenate(parts) == pytest.approx(whole)
    decode = one(lower(plan_of("ep 2", workload)).decode, "moe.experts.up").flops
    assert decode * 16 == pytest.approx(whole)


def test_every_segment_of_skewed_layers_has_its_own_template() -> None:
    graph = lower(plan_of("pp 3 [micro 2] < ep 2 >", "batch 9    prompt 16    output 4    routing zipf 1"))
    for phase in graph.classes:
        uses: dict[int, list[int]] = {}
        for _, _, _, segment in phase.segments():
            uses.setdefault(segment.template, []).append(segment.count)
        for index, template in enumerate(phase.templates):
            copies = {n.flops.shape[0] for n in template.nodes if n.flops.ndim == 2}
            if copies:
                assert [copies] == [{count} for count in uses[index]]
    assert not verify(graph)


@pytest.mark.parametrize(
    "strategy",
    [
        "ep 4 ; tp 2",
        "pp 2 < ep 2 < tp 2 > >",
        "dp 2 < ep 4 [redundant 2] >",
        "pp 2 < tp 2 > | ep 4",
        "ep 2 [overlap 2]",
        "pp 2 < tp 2 | ep 3 >",
        "prefill < ep 4 > | decode < dp 2 < ep 2 > >",
    ],
)
def test_skewed_graphs_hold_the_invariants(strategy: str) -> None:
    plan = plan_of(strategy, "batch 21    prompt 16    output 4    routing zipf 1.2 seed 9")
    graph = lower(plan)
    assert not verify(graph)
    for phase in graph.classes:
        priced = price(phase, plan)
        for template, costs in zip(phase.templates, priced.costs, strict=True):
            for node, cost in zip(template.nodes, costs, strict=True):
                load = np.broadcast_shapes(node.flops.shape, node.memory_bytes.shape)
                assert cost.duration.ndim <= max(2, len(load))
                assert cost.duration.min() >= 0


def test_exponent_nought_is_uniform() -> None:
    uniform = lower(plan_of("ep 4 ; tp 2", "batch 21    prompt 16    output 4"))
    nought = lower(plan_of("ep 4 ; tp 2", "batch 21    prompt 16    output 4    routing zipf 0 seed 9"))
    assert to_text(uniform) == to_text(nought)


def test_a_slowed_rank_computes_longer_and_sends_as_fast() -> None:
    workload = "batch 8    prompt 512    output 4"
    even, slowed = plan_of("ep 4", workload), plan_of("ep 4", workload, "slow 2 by 25 %")
    before, after = lower(even).prefill, lower(slowed).prefill
    assert after.teams[0].slowdown.tolist() == [1, 1, 1.25, 1]
    pairs = zip(price(before, even).costs, price(after, slowed).costs, before.templates, strict=True)
    for fast, slow, template in pairs:
        for was, now, node in zip(fast, slow, template.nodes, strict=True):
            if node.communication is not None or node.fused_into is not None:
                assert np.array_equal(was.duration, now.duration)
            else:
                expected = was.duration * np.array([1, 1, 1.25, 1])
                assert now.duration == pytest.approx(expected, abs=1)
                assert now.formula.startswith("1.25 · (")


def test_stages_with_a_slowed_rank_do_not_share_templates_with_others() -> None:
    plan = plan_of("pp 2 [micro 1] < ep 2 >", "batch 4    prompt 16    output 4", "slow 3 by 50 %")
    phase = lower(plan).prefill
    first, second = ({s.template for s in p.segments if s.first_layer is not None} for p in phase.programs[0])
    assert not first & second
    costs = price(phase, plan).costs
    durations = [
        cost.duration
        for index in sorted(second)
        for cost, node in zip(costs[index], phase.templates[index].nodes, strict=True)
        if node.key == "attention.norm"
    ]
    assert durations
    assert all(d.shape == (2,) and d[1] == pytest.approx(1.5 * d[0], abs=1) for d in durations)


def classes_of(plan: Plan) -> list[tuple[int, tuple[int, ...]]]:
    """Sequences and replicas of each class of the first service."""
    return [(c.sequences, c.replicas) for c in replica_classes(plan, plan.deployment.services[0])]


def test_replicas_of_equal_load_and_speed_are_one_class() -> None:
    assert classes_of(plan_of("dp 4 < ep 2 >", "batch 8")) == [(2, (0, 1, 2, 3))]


def test_a_remainder_of_the_batch_makes_two_classes() -> None:
    # 10 sequences over 4 replicas: 3 3 2 2. 3 over 4: the last has none, and is in no class.
    assert classes_of(plan_of("dp 4 < ep 2 >", "batch 10")) == [(3, (0, 1)), (2, (2, 3))]
    assert classes_of(plan_of("dp 4 < ep 2 >", "batch 3")) == [(1, (0, 1, 2))]


def test_slowness_is_told_by_its_place_in_the_replica_and_its_share() -> None:
    # Ranks 0-1, 2-3, 4-5, 6-7. Ranks 2 and 6 are the first of their replicas, 5 the second of its own.
    slow = "slow 2 by 10 %    slow 6 by 10 %    slow 5 by 10 %"
    assert classes_of(plan_of("dp 4 < ep 2 >", "batch 8", slow)) == [(2, (0,)), (2, (1, 3)), (2, (2,))]
    slow = "slow 2 by 10 %    slow 6 by 20 %"
    assert classes_of(plan_of("dp 4 < ep 2 >", "batch 8", slow)) == [(2, (0, 2)), (2, (1,)), (2, (3,))]


def test_replicas_are_numbered_through_the_outer_ones() -> None:
    # dp 2 of (prefill dp 2 of 2 GPUs, decode 2 GPUs): replica stride 6; prefill replicas at 0, 2, 6, 8.
    plan = plan_of("dp 2 < prefill < dp 2 < ep 2 > > | decode < ep 2 > >", "batch 8", "slow 8 by 10 %")
    prefill, decode = plan.deployment.services
    assert plan.deployment.all_ranks(prefill).tolist() == [[0, 1], [2, 3], [6, 7], [8, 9]]
    assert [(c.sequences, c.replicas) for c in replica_classes(plan, prefill)] == [(2, (0, 1, 2)), (2, (3,))]
    assert [(c.sequences, c.replicas) for c in replica_classes(plan, decode)] == [(4, (0, 1))]


def test_each_class_has_phases_of_its_own() -> None:
    graph: Graph = lower(plan_of("dp 3 < ep 2 >", "batch 6", "slow 3 by 10 %"))
    assert [(str(p.phase), p.replicas) for p in graph.classes] == [
        ("prefill", (0, 2)), ("decode", (0, 2)), ("prefill", (1,)), ("decode", (1,)),
    ]  # fmt: skip
    assert graph.others[0].teams[0].ranks.tolist() == [2, 3]
    shown = graph.showing(graph.others[0], graph.decode)
    assert shown.prefill is graph.others[0]
    assert [id(p) for p in shown.others] == [id(graph.prefill), id(graph.others[1])]
    text = to_text(graph)
    assert "phase main prefill replicas 0,2\n" in text
    assert "team 0: main stage 0 ranks 2-3 slowdown 3:1.1\n" in text
