"""Memory by rank against arithmetic by hand, and its sum against the model's own count."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagc.catalog.parameters import count
from dagc.cost.memory import MemoryPart, PoolMemory, rank_memory
from dagc.engines.registry import get_engine
from dagc.engines.runtime import NO_ENGINE
from dagc.facts.facts import declare_facts
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
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
    deployment, more = resolve(annotate(parsed.strategies[0]))
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


@pytest.mark.parametrize(
    ("engine", "tp", "rows"),
    [(None, 1, 1000), (None, 3, 334), ("vllm", 2, 512), ("sglang", 8, 128), ("trtllm", 3, 334), ("megatron", 3, 384)],
)
def test_rows_of_the_vocabulary(engine: str | None, tp: int, rows: int) -> None:
    """1,000 words: to 1,024 by 64, to 1,002 by 3, to 1,152 by 128 for each of 3."""
    runtime = get_engine(engine).runtime if engine else NO_ENGINE
    assert runtime.vocabulary_rows(1000, tp) == rows


@pytest.mark.parametrize(("engine", "tokens"), [("vllm", 112), ("sglang", 101), ("trtllm", 128), ("megatron", 256)])
def test_a_sequence_takes_whole_blocks_of_the_engine(engine: str, tokens: int) -> None:
    """100 + 1 tokens in blocks of 16, 1, 32 and 256; 128 bytes a token and layer."""
    text = TINY.replace("output 28", "output 1") + f"engine {engine}\n"
    assert memory("tp 1", text).max_parts[MemoryPart.KV_CACHE] == 128 * 4 * 16 * tokens


def test_a_block_that_is_stated_holds_in_windowed_layers_too() -> None:
    """A window of 40 in layers 0 and 2: 2 blocks of 32 there, of 101 tokens 4 blocks in the other two."""
    text = TINY.replace("output 28", "output 1    block 32").replace("head_dim 8", "head_dim 8    window 40 every 2")
    assert memory("tp 1", text).max_parts[MemoryPart.KV_CACHE] == 128 * 16 * (2 * 64 + 2 * 128)


def test_activations_by_phase() -> None:
    """With tp 1 the experts are widest, P = 2 T pairs of 2 · 64 + 3 · 32 elements of 2 bytes.

    T is 16 · 100 tokens in prefill, a chunk of 500 where that is stated, and 16 in decode.
    """
    for chunk, tokens in (("", 1600), ("    chunk 500", 500)):
        held = memory("tp 1", TINY.replace("output 28", f"output 28{chunk}"))
        assert held.activations[Phase.PREFILL].max() == 2 * tokens * (128 + 96) * 2
        assert held.parts[MemoryPart.ACTIVATIONS].max() == held.activations[Phase.PREFILL].max()
        assert held.activations[Phase.DECODE].max() == max(2 * 16 * (128 + 96) * 2, 16 * 1000 * 4)


def test_buffers_of_dispatch_in_decode_have_room_for_any_routing() -> None:
    """A pool that decodes 16 sequences on 4 ranks: 4 each.

    8 + 4 slots · 4 tokens · 64 elements · 2 bytes, four times.
    """
    held = {pool.pool: pool for pool in rank_memory(planned("prefill < ep 4 > | decode < ep 4 [redundant 4] >"))}
    decode = next(pool for name, pool in held.items() if "decode" in name)
    assert decode.max_parts[MemoryPart.COMMUNICATION] == 4 * 12 * 4 * 64 * 2


def test_buffers_of_dispatch_in_prefill_are_made_to_measure() -> None:
    """16 prompts of 100 on 4 ranks: T = 400, top 2 of each sent, and as many pairs received, 64 elements of 2 bytes."""
    held = {pool.pool: pool for pool in rank_memory(planned("prefill < ep 4 > | decode < ep 4 >"))}
    prefill = next(pool for name, pool in held.items() if "prefill" in name)
    assert prefill.max_parts[MemoryPart.COMMUNICATION] == (400 * 2 + 400 * 2) * 64 * 2


def test_gathered_tokens_and_their_sums_are_held() -> None:
    """16 tokens of one decode step, 1,600 of the prompts, and as many sums, of 64 elements of 2 bytes."""
    pools = "prefill < ep 4 [exchange gather] > | decode < ep 4 [exchange gather] >"
    held = {pool.pool: pool for pool in rank_memory(planned(pools))}
    for phase, tokens in (("decode", 16), ("prefill", 1600)):
        pool = next(pool for name, pool in held.items() if phase in name)
        assert pool.max_parts[MemoryPart.COMMUNICATION] == 2 * tokens * 64 * 2


def test_the_reserve_is_what_the_cluster_states() -> None:
    assert memory("tp 1").max_parts[MemoryPart.RESERVE] == 2e9
    assert memory("tp 1", f"{TINY}cluster h100-sxm x 8 {{ reserve 0 GB }}\n").max_parts[MemoryPart.RESERVE] == 0


def test_tokens_of_the_prefix_cache_are_not_computed() -> None:
    """Half of 16 prompts of 100 tokens: activations of 800 tokens, as of 16 prompts of 50. A chunk of 1,000 is less
    than 1,600 tokens and more than 800, so that only whole prompts are chunked.
    """
    cached, short, whole = (
        memory("ep 1", TINY.replace("prompt 100 ", words))
        for words in ("prompt 100 cached 50 % chunk 1000 ", "prompt 50 chunk 1000 ", "prompt 100 chunk 1000 ")
    )
    assert cached.activations[Phase.PREFILL] == short.activations[Phase.PREFILL]
    assert whole.activations[Phase.PREFILL] == pytest.approx(1000 / 800 * cached.activations[Phase.PREFILL])
    assert (cached.is_chunked, short.is_chunked, whole.is_chunked) == (False, False, True)
