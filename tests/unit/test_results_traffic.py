"""Bytes from rank to rank: hand arithmetic on plans whose communication is known, and sums that must agree."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.export.traffic import Traffic, crossing, traffic
from dagc.graph.graph import PhaseGraph
from dagc.ops.communication import Pattern
from dagc.ops.message import Send
from tests.unit.test_results_operators import phase_of

MODEL = """tiny { layers 4    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 8    head_dim 128 }
    experts 8 { top 2    ffn 512    gated yes } }"""
WORKLOAD = "{ batch 16    prompt 128    output 8 }"


def prefill(strategy: str, gpus: int = 8, more: str = "") -> PhaseGraph:
    return phase_of(strategy, gpus, MODEL, WORKLOAD, more).priced.graph


def off_diagonal(found: Traffic) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return found.sent[~np.eye(len(found.sent), dtype=bool)]


def test_tensor_parallel_ranks_send_each_other_alike() -> None:
    """`tp 4`: an all-reduce of n ranks moves 2 (n - 1) / n of its buffer from each rank, so B/2 to each of 3 others.

    A batch of 16 × 128 tokens of 1,024 numbers of 2 bytes is 4,194,304 bytes. Each of the 4 layers reduces twice
    (attention, experts), the embedding once: 9 × B/2 between each pair. The head gathers scores of 32,000 words for
    each of the 16 sequences, in float32 or bf16: some megabytes at most, the same for each pair.
    """
    found = traffic(prefill("tp 4", 4), 8)
    pairs = off_diagonal(found)
    assert np.ptp(pairs) == pytest.approx(0.0, abs=1.0)
    head = pairs[0] - 9 * 4_194_304 / 2
    assert 0 <= head <= 16 * 32_000 * 4
    assert np.trace(found.sent) == pytest.approx(0.0, abs=1e-3)
    assert found.between_nodes == 0


def test_expert_parallel_ranks_send_most_of_what_their_tokens_chose() -> None:
    """`ep 8`, uniform routing: each rank has 2 × 128 tokens, each of which goes to 2 experts and comes back; a row is
    1,024 numbers. 7/8 leave the rank, evenly: 256 × 2 × 1,024 × 2 / 8 bytes to each other rank, each way, in 4 layers.
    A dispatch in fp8 would be half; the plan's model is bf16.
    """
    found = traffic(prefill("ep 8"), 8)
    each_way = 256 * 2 * 1024 * 2 / 8
    assert off_diagonal(found) == pytest.approx(2 * 4 * each_way)


def test_stages_hand_on_rank_to_rank() -> None:
    """`pp 2` over tp 2: both ranks of a stage hold every token after its last sum, 16 × 128 × 1,024 × 2 bytes; rank r
    sends that to rank r + 2. Nothing comes back in prefill.
    """
    found = traffic(prefill("pp 2 < tp 2 >", 4), 8)
    assert found.sent[0, 2] == found.sent[1, 3] == pytest.approx(16 * 128 * 1024 * 2)
    assert found.sent[0, 3] == found.sent[1, 2] == 0
    assert not found.sent[2:, :2].any()


def test_pools_send_to_every_rank_of_the_other() -> None:
    """`tp 2 | ep 4`: what attention dispatches goes to all experts' ranks alike, and the results come back."""
    found = traffic(prefill("tp 2 | ep 4", 6), 8)
    there, back = found.sent[:2, 2:], found.sent[2:, :2]
    assert np.ptp(there) == pytest.approx(0.0, abs=1e-6)
    assert there.sum() == pytest.approx(back.sum())
    assert not found.sent[2:, 2:].any(), "experts' ranks exchange nothing"


def test_nodes_are_counted_by_where_ranks_stand() -> None:
    """`ep 8` on nodes of 4: of the 7 others of a rank 4 are on the other node."""
    graph = prefill("ep 8", more="node 4")
    found = traffic(graph, 4)
    assert found.between_nodes / found.total == pytest.approx(4 / 7)


def test_folding_keeps_the_sum() -> None:
    """64 ranks in 16 blocks of 4: as many bytes as 64 ranks one by one, and as an independent sum over collectives."""
    graph = phase_of(
        "ep 64", 64, MODEL.replace("experts 8", "experts 64"), WORKLOAD.replace("16", "64"), ""
    ).priced.graph
    found = traffic(graph, 8)
    assert (found.block, len(found.ranks), found.ranks[1]) == (4, 16, (4, 7))
    leaving = 0.0
    for size, _, _, segment in graph.segments():
        for node in graph.templates[segment.template].nodes:
            talk = node.communication
            if talk and talk.pattern is Pattern.ALL_TO_ALL:
                n, ranks = talk.groups.size, talk.groups.members.size
                sent = np.broadcast_to(talk.bytes, (ranks,)).sum() * (n - 1) / n
                leaving += sent * segment.count * graph.micro_batches.count(size)
    assert found.total == pytest.approx(leaving)


def test_skewed_loads_send_more_to_who_holds_popular_experts() -> None:
    """Under zipf the bytes into a rank differ; their sum is what all ranks send but for what they keep."""
    graph = phase_of("ep 8", 8, MODEL, "{ batch 16    prompt 128    output 8    routing zipf 1 }", "").priced.graph
    found = traffic(graph, 8)
    into = found.sent.sum(axis=0)
    assert into.max() > 1.2 * into.min()
    assert (found.sent >= 0).all()


@pytest.mark.parametrize(("strategy", "per_node"), [("ep 8", 8), ("ep 8", 4), ("pp 2 < tp 2 | ep 2 >", 4), ("tp 2", 1)])
def test_what_stages_send_by_link_is_what_the_matrix_has(strategy: str, per_node: int) -> None:
    """A pass has as many micro-batches as it has; in this prefill all are of one size."""
    graph = prefill(strategy)
    passes = len(graph.micro_batches)
    parts = [crossing(graph, program.stage, per_node) for program in graph.programs[0]]
    whole = traffic(graph, per_node)
    assert passes * sum(part.total for part in parts) == pytest.approx(whole.total)
    assert passes * sum(part.between for part in parts) == pytest.approx(whole.between_nodes)


def test_what_a_stage_sends_is_told_apart_by_operator() -> None:
    """See `test_stages_hand_on_rank_to_rank`: 4 MiB of each of two ranks in two micro-batches, between nodes of two."""
    graph = prefill("pp 2 < tp 2 >", 4)
    sent = crossing(graph, 0, 2, ops=(Send,))
    assert (sent.inside, sent.between) == (0, 2 * 16 * 128 * 1024 * 2 / len(graph.micro_batches))
