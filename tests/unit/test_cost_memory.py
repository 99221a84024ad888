"""Memory by rank against arithmetic by hand, and its sum against the model's own count."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagc.catalog.parameters import count
from dagc.cost.memory import MemoryPart, PoolMemory, rank_memory
from dagc.declare.facts import declare_facts
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.source import Source
from dagc.syntax.parser import parse

TINY = """
model tiny {
    layers 4    hidden 64    vocab 1000    dtype bf16
    attention { heads 8    kv_heads 4    head_dim 8 }
    experts 8 { top 2    ffn 32    shared 0    gated yes }
}
workload { batch 16    prompt 100    output 28 }
"""
ATTENTION, EXPERT, ROUTER = 64 * 64 + 2 * 64 * 32 + 64 * 64, 3 * 64 * 32, 64 * 8
"""Parameters of a layer: q and out 64 x 64, k and v 64 x 32; an expert's three matrices; the router."""


def planned(strategy: str, text: str = TINY) -> Plan:
    parsed = parse(Source("plan.moe", f"{text}\nstrategy a = {strategy}\n")).file
    assert parsed is not None
    facts, problems = declare_facts(parsed, (), Path())
    deployment, more = resolve(parsed.strategies[0])
    assert facts is not None and deployment is not None, (problems, more)
    return Plan(deployment, facts)


def memory(strategy: str, text: str = TINY) -> PoolMemory:
    (pool,) = rank_memory(planned(strategy, text))
    return pool


@pytest.mark.parametrize("strategy", ["ep 1", "pp 2", "pp 4"])
def test_weights_that_are_not_replicated_sum_to_the_model(strategy: str) -> None:
    plan = planned(strategy)
    shapes = plan.facts.model.shapes()
    assert shapes is not None
    held = sum(pool.parts[MemoryPart.WEIGHTS].sum() for pool in rank_memory(plan))
    assert held == pytest.approx(count(shapes).weight_bytes)


def test_tensor_parallel_shards_all_but_router_and_norms() -> None:
    """2 bytes each; 9 norms of 64; embedding and head 64 000 each, all over tp 4."""
    layer = (ATTENTION + 8 * EXPERT) / 4 + ROUTER + 2 * 64
    expected = 2 * (4 * layer + 64 + 2 * 64_000 / 4)
    assert memory("tp 4").max_parts[MemoryPart.WEIGHTS] == pytest.approx(expected)


def test_kv_heads_are_held_twice_when_tp_is_twice_their_number() -> None:
    """On one of 8 ranks 1 of 8 heads and 1 of 4 KV heads: q and out 64 x 8 each, k and v 64 x 8 each."""
    layer = 4 * 64 * 8 + 8 * EXPERT / 8 + ROUTER + 2 * 64
    expected = 2 * (4 * layer + 64 + 2 * 64_000 / 8)
    assert memory("tp 8").max_parts[MemoryPart.WEIGHTS] == pytest.approx(expected)


def test_experts_that_do_not_divide_go_to_the_first_ranks() -> None:
    """8 experts over 3 ranks: 3, 3, 2; the third lacks one expert in each of 4 layers."""
    held = memory("ep 3").parts[MemoryPart.WEIGHTS]
    assert (held[0, 0] - held[0]).tolist() == [0, 0, 2 * 4 * EXPERT]


def test_redundant_experts_take_memory() -> None:
    plain, more = (memory(s).parts[MemoryPart.WEIGHTS][0, 0] for s in ("ep 4", "ep 4 [redundant 4]"))
    assert more - plain == 2 * 4 * EXPERT


def test_cache_of_grouped_heads() -> None:
    """With tp 2: 2 KV heads of 8, keys and values, 2 bytes: 64 B a token and layer; 4 layers, 16 sequences of 128."""
    assert memory("tp 2").max_parts[MemoryPart.KV_CACHE] == 64 * 4 * 16 * 128


def test_cache_of_the_dp_share_with_the_most_sequences() -> None:
    """16 sequences over 3 attention ranks: 6, 5, 5; 4 KV heads: 128 B a token and layer."""
    held = memory("ep 3").parts[MemoryPart.KV_CACHE]
    assert held[0].tolist() == [128 * 4 * 128 * s for s in (6, 5, 5)]


def test_latent_cache_is_whole_on_each_tp_rank() -> None:
    """512 + 64 elements, 61 layers, 2 bytes: 70 272 B a token (DeepSeek-V3), whatever tp is."""
    text = "model deepseek-v3\nworkload { batch 8    prompt 1000    output 24 }"
    assert [memory(s, text).max_parts[MemoryPart.KV_CACHE] for s in ("tp 8", "tp 2")] == [70_272 * 8 * 1024] * 2


def test_a_prefill_pool_keeps_prompts_only() -> None:
    """100 against 100 + 28 tokens a sequence, in blocks of 16: 112 against 128."""
    prefill, decode = rank_memory(planned("prefill < tp 2 > | decode < tp 2 >"))
    ratio = prefill.max_parts[MemoryPart.KV_CACHE] / decode.max_parts[MemoryPart.KV_CACHE]
    assert ratio == pytest.approx(112 / 128)


def test_parts_of_the_fullest_rank_sum_to_its_total() -> None:
    pool = memory("pp 2 < ep 3 ; tp 2 >")
    assert sum(pool.max_parts.values()) == pytest.approx(pool.max_bytes)
    assert pool.total_bytes >= pool.max_bytes


def test_a_pool_of_experts_holds_no_cache() -> None:
    attention, experts = rank_memory(planned("tp 2 | ep 4"))
    assert experts.max_parts[MemoryPart.KV_CACHE] == 0
    assert experts.max_parts[MemoryPart.WEIGHTS] == 2 * 4 * 2 * EXPERT
    assert attention.max_parts[MemoryPart.WEIGHTS] > 0
