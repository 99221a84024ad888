"""Bytes of communication and of the cache, by hand.

`pp 4 < ep 16 ; tp 2 >`, DeepSeek-V3 shapes, bf16, 512 sequences: 4 micro-batches of 128, so a dp rank of 8 has 16.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.graph.graph import INPUT
from dagc.lower.lower import lower
from dagc.lower.routing import expected_distinct
from dagc.ops.communication import Matching, Pattern
from dagc.plan.deployment import Options, Phase
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DEMO, GQA, PIPELINE, folded, layout, message, node, plan, service, template

ROW = 7168 * 2
"""Bytes of a token's hidden state."""


def payload(found) -> float:
    return float(message(found).bytes[0])


def test_dispatch_and_combine_send_each_distinct_token_once_a_choice() -> None:
    """128 tokens over 16 ranks are 8 a rank, though tp holds 16: 8 tokens x 8 choices x 14,336 bytes."""
    decode = lower(folded()).decode
    assert payload(node(decode, "moe.dispatch")) == 8 * 8 * ROW
    assert payload(node(decode, "moe.combine")) == 8 * 8 * ROW
    assert message(node(decode, "moe.dispatch")).pattern is Pattern.ALL_TO_ALL


def test_reductions_and_return_to_attention() -> None:
    """All-reduce over tp and the gather back both move the 16 tokens that a tp rank holds."""
    decode = lower(folded()).decode
    for key in ("attention.all_reduce", "moe.shared.all_reduce", "moe.return_all_gather"):
        assert payload(node(decode, key)) == 16 * ROW
    assert message(node(decode, "attention.all_reduce")).groups.members.tolist()[1] == [2, 3]


def test_experts_get_the_expected_share() -> None:
    """128 tokens x 8 choices over 16 ranks: 64 pairs a rank, 2·64·7168·4096 FLOPs up.

    Of a rank's 16 experts 16·(1 - (1 - 8/256)^128) are hit.
    """
    up = node(lower(folded()).decode, "moe.experts.up")
    assert up.flops[0] == 2 * 64 * 7168 * 4096
    hit = 16 * (1 - (31 / 32) ** 128)
    assert up.memory_bytes[0] == pytest.approx(hit * 7168 * 4096 * 2 + 64 * (7168 + 4096) * 2)


def test_expected_distinct_at_its_ends() -> None:
    """No token hits none, one token exactly its choices, many tokens all; two of 2 from 4: 4·(1-1/4) = 3."""
    assert expected_distinct(4, 2, np.array([0.0, 1.0, 2.0, 1e6])).tolist() == pytest.approx([0, 2, 3, 4])


def test_uneven_experts_are_a_vector() -> None:
    """16 experts on 6 ranks: 3 3 3 3 2 2; 12 tokens x 2 choices spread as 3/16 and 2/16."""
    graph = lower(plan(service(layout(dp=6), layout(ep=6)), model=DEMO, workload=Workload(12, 8, 2)))
    up = node(graph.decode, "moe.experts.up")
    pairs = up.flops / (2 * 2048 * 2 * 6144)
    assert pairs.tolist() == pytest.approx([4.5] * 4 + [3.0] * 2)


def test_core_reads_the_mean_context() -> None:
    """16 sequences of 1024 + 128/2 positions x 576 x 2 bytes; queries 576 and results 512 wide of 64 heads beside."""
    core = node(lower(folded()).decode, "attention.core")
    assert core.memory_bytes[0] == 16 * 1088 * 576 * 2 + 16 * 64 * (576 + 512) * 2
    assert core.flops[0] == 2 * 64 * (576 + 512) * 16 * 1088


def test_causal_prefill_is_half() -> None:
    """Keys of 192 and values of 128, 64 heads, 16 prompts of 1024²/2 pairs."""
    core = node(lower(folded()).prefill, "attention.core")
    assert core.flops[0] == 2 * 64 * (192 + 128) * 16 * 1024 * 1024 / 2


def test_a_window_limits_pairs_and_context() -> None:
    """Window 8 of prompts of 100: 8·100 - 32 pairs; decode sees 8 of 104 positions."""
    attention = replace(GQA, window=8)
    graph = lower(
        plan(
            service(layout(dp=2), layout(ep=2)), model=replace(DEMO, attention=attention), workload=Workload(2, 100, 8)
        )
    )
    assert node(graph.prefill, "attention.core", "moe.window8").flops[0] == 4 * 32 * 64 * 768
    assert node(graph.decode, "attention.core", "moe.window8").flops[0] == 4 * 32 * 64 * 8


def test_context_parallelism_cuts_prompt_and_cache() -> None:
    """Cp 2: half the prompt's tokens, half of the pairs, whole keys and values gathered; in decode half the cache.

    1 sequence of 100: gathered 100 x 2·8·64 x 2 bytes; merged in decode: 1 token x 32 heads x (64 + 1) x 2 bytes.
    """
    graph = lower(plan(service(layout(cp=2), layout(ep=2)), model=DEMO, workload=Workload(1, 100, 8)))
    assert payload(node(graph.prefill, "attention.kv_all_gather")) == 100 * 1024 * 2
    assert node(graph.prefill, "attention.qkv").flops[0] == 2 * 50 * 2048 * 48 * 64
    assert node(graph.prefill, "attention.core").flops[0] == 4 * 32 * 64 * 2500
    assert payload(node(graph.decode, "attention.cp_all_reduce")) == 32 * 65 * 2
    assert node(graph.decode, "attention.core").flops[0] == 4 * 32 * 64 * 52


def test_decode_context_parallelism_cuts_the_latent_cache() -> None:
    """Dcp 2 inside tp 4: half of the positions for twice the heads, so as much arithmetic and half the reading."""
    plain = lower(plan(service(layout(tp=4), layout(ep=4)), workload=Workload(8, 1024, 128))).decode
    cut = lower(
        plan(service(layout(tp=4), layout(ep=4), options=Options(decode_context=2)), workload=Workload(8, 1024, 128))
    ).decode
    assert node(cut, "attention.core").flops[0] == node(plain, "attention.core").flops[0]
    gather = node(cut, "attention.q_all_gather")
    assert message(gather).groups.members.tolist() == [[0, 1], [2, 3]]
    assert payload(gather) == 8 * 64 * 576 * 2
    assert payload(node(cut, "attention.dcp_reduce_scatter")) == 8 * 64 * 512 * 2
    reading = 8 * 1088 * 576 * 2
    assert node(plain, "attention.core").memory_bytes[0] - 8 * 32 * 1088 * 2 == reading
    assert node(cut, "attention.core").memory_bytes[0] - 8 * 64 * 1088 * 2 == reading / 2


def test_sequence_parallelism_gathers_and_scatters() -> None:
    """Tp 4, 8 sequences: norms on 2 tokens a rank, collectives of 8; no all-reduce is left."""
    options = Options(sequence_parallel=True)
    decode = lower(plan(service(layout(tp=4), layout(ep=4), options=options), workload=Workload(8, 64, 8))).decode
    keys = [n.key for n in template(decode, "moe").nodes]
    assert not [key for key in keys if "all_reduce" in key]
    assert payload(node(decode, "attention.reduce_scatter")) == 8 * ROW
    assert node(decode, "moe.norm").output.dims[0].size == 2
    assert payload(node(decode, "moe.dispatch")) == 2 * 8 * ROW


def test_wider_expert_tp_gathers_before_and_scatters_after() -> None:
    """`attn dp 4` over experts `tp 4`: 8 sequences, 2 a rank, all 8 gathered and their sums scattered."""
    decode = lower(plan(service(layout(dp=4), layout(tp=4)), model=DEMO, workload=Workload(8, 64, 8))).decode
    keys = [n.key for n in template(decode, "moe").nodes]
    assert "moe.dispatch" not in keys
    assert payload(node(decode, "moe.all_gather")) == 8 * 2048 * 2
    assert payload(node(decode, "moe.reduce_scatter")) == 8 * 2048 * 2


def test_one_reduction_serves_shared_and_routed_experts_on_the_same_ranks() -> None:
    decode = lower(plan(service(layout(tp=4), layout(tp=4)), workload=Workload(8, 64, 8))).decode
    keys = [n.key for n in template(decode, "moe").nodes]
    assert [key for key in keys if "all_reduce" in key] == ["attention.all_reduce", "moe.all_reduce"]


def test_stages_send_hidden_states_and_tokens_go_back() -> None:
    """16 tokens a rank between stages; the last stage returns 16 ids of 4 bytes to the first."""
    graph = lower(folded())
    assert payload(node(graph.decode, "pipeline.send", "pipeline.send")) == 16 * ROW
    assert payload(node(graph.decode, "token.send", "token.send")) == 64
    assert message(node(graph.decode, "token.receive", "token.receive")).matching is Matching.STEP
    assert node(graph.decode, "pipeline.send", "pipeline.send").span == PIPELINE
    assert "token.send" not in [t.key for t in graph.prefill.templates]


def test_stages_of_one_shape_share_templates() -> None:
    graph = lower(folded())
    assert [t.key for t in graph.prefill.templates] == [
        "embedding", "dense", "moe", "pipeline.send", "pipeline.receive", "head",
    ]  # fmt: skip


def test_a_stage_that_straddles_nodes_differently_has_its_own_template() -> None:
    """Stages of 6 ranks on nodes of 8: 0-5 in one node, 6-11 in two."""
    graph = lower(plan(service(layout(dp=6), layout(ep=6), 2)))
    spread = [message(node(graph.decode, "moe.dispatch", key)).groups for key in ("moe", "moe.2")]
    assert [int(g.nodes[0]) for g in spread] == [1, 2]
    assert [int(g.local[0]) for g in spread] == [6, 4]


def test_a_message_knows_whether_its_peer_is_on_the_same_node() -> None:
    """Stages of 4 on nodes of 8: 0 to 1 inside the first node, 1 to 2 across, 2 to 3 inside the second."""
    decode = lower(plan(service(layout(dp=4), layout(ep=4), 4))).decode
    sends = [
        next(t for t in (decode.templates[s.template] for s in program.segments) if t.key.startswith("pipeline.send"))
        for program in decode.programs[0][:3]
    ]
    assert [message(t.nodes[0]).groups.nodes.tolist() for t in sends] == [[1] * 4, [2] * 4, [1] * 4]
    assert sends[0] is sends[2]


def test_cache_writes_go_to_the_ranks_that_keep_a_position() -> None:
    """1 token x 2·8·64 elements read in 2 bytes and written in 2; over cp 2 each rank keeps every other one.

    Over dcp 2 of tp 4 a latent of 576 likewise, 8 tokens of it.
    """
    one = lower(plan(service(layout(cp=2), layout(ep=2)), model=DEMO, workload=Workload(1, 100, 8)))
    assert node(one.decode, "attention.kv_write").memory_bytes[0] == 1024 * 4 / 2
    assert node(one.prefill, "attention.kv_write").memory_bytes[0] == 50 * 1024 * 4
    options = Options(decode_context=2)
    cut = lower(plan(service(layout(tp=4), layout(ep=4), options=options), workload=Workload(8, 64, 8)))
    assert node(cut.decode, "attention.kv_write").memory_bytes[0] == 8 * 576 * 4 / 2


def test_nothing_overlaps_unless_asked() -> None:
    for phase in lower(folded()).phases:
        for found in phase.templates:
            for index, later in enumerate(found.nodes[1:]):
                assert index in (*later.inputs, *later.after)


def test_overlap_puts_one_halfs_communication_beside_the_others_computation() -> None:
    moe = template(lower(folded(Options(overlap=2))).decode, "moe")
    assert len(moe.outputs) == 2
    keys = [n.key for n in moe.nodes]
    streams = {key: key[0] for key in keys}
    for later in moe.nodes:
        assert all(streams[keys[i]] == later.key[0] for i in (*later.inputs, *later.after) if i >= 0)
    assert moe.nodes[keys.index("a.attention.norm")].inputs == (INPUT,)
    assert moe.nodes[keys.index("b.attention.norm")].inputs == (INPUT - 1,)
    after_dispatch = keys[keys.index("a.moe.dispatch") + 1]
    assert after_dispatch.startswith("b.")
    shared = moe.nodes[keys.index("a.moe.shared.up")]
    assert keys.index("a.moe.dispatch") not in (*shared.inputs, *shared.after)


def test_experts_pool_exchanges_messages() -> None:
    """4 attention ranks, 6 of experts (ep 3 x tp 2); one micro-batch of 8 tokens x 8 choices x 2 shards.

    Attention sends 2 tokens x 8 x 2 a rank; the experts hold 86, 85, 85 of 256 and receive accordingly.
    """
    graph = lower(plan(service(layout(dp=4), layout(ep=3, tp=2), pool_stages=1), workload=Workload(8, 64, 8)))
    send, receive = (node(graph.decode, key) for key in ("moe.dispatch", "moe.dispatch.receive"))
    assert (send.team, receive.team) == (0, 1)
    assert payload(send) == 2 * 8 * 2 * ROW
    assert (message(receive).bytes / ROW).tolist() == pytest.approx([64 * n / 256 for n in (86, 86, 85, 85, 85, 85)])
    assert message(receive).partner == [n.key for n in template(graph.decode, "moe").nodes].index("moe.dispatch")
    assert graph.decode.teams[1].ranks.tolist() == [4, 5, 6, 7, 8, 9]


def test_all_stages_share_one_experts_pool() -> None:
    graph = lower(plan(service(layout(tp=2), layout(ep=4), 2, pool_stages=1)))
    assert [program.teams for program in graph.decode.programs[0]] == [(0, 2), (1, 2)]
    own = lower(plan(service(layout(tp=2), layout(ep=4), 2, pool_stages=2)))
    assert [program.teams for program in own.decode.programs[0]] == [(0, 2), (1, 3)]


def test_handover_moves_the_prompts_cache() -> None:
    """Two prefill replicas of 2 stages feed one of decode: 512 prompts of 1024 x 61 layers x 576 x 2 bytes in all."""
    prefill = service(layout(dp=4), layout(ep=4), 2, phase=Phase.PREFILL, replicas=2)
    decode = service(layout(dp=8), layout(ep=8), 3, phase=Phase.DECODE, first_rank=16)
    graph = lower(plan(prefill, decode))
    assert graph.handover is not None
    assert [team.width for team in graph.handover.teams] == [8, 8, 8, 8, 8]
    received = sum(
        float(message(n).bytes[0]) * graph.handover.teams[program.teams[n.team]].width
        for program in graph.handover.programs[0]
        for n in graph.handover.templates[program.segments[0].template].nodes
        if message(n).pattern is Pattern.RECEIVE
    )
    assert received == pytest.approx(512 * 1024 * 61 * 576 * 2)
    assert [program.teams for program in graph.handover.programs[0]] == [(0, 2, 3), (1, 3, 4)]
