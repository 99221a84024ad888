"""Memory against figures that engines logged: their tokens of cache and their weights, within 1.5 %."""

from __future__ import annotations

import pytest

from dagc.cost.memory import MemoryPart, PoolMemory, rank_memory
from tests.unit.planning import plan

GIB = 2**30
WITHIN = 0.015


def pool(text: str) -> PoolMemory:
    (found,) = rank_memory(plan(text))
    return found


def test_tokens_of_cache_that_fit_into_what_vllm_had_left() -> None:
    """vllm-project/vllm issue 21348: Qwen3-235B-A22B-FP8, tp 4, `Available KV cache memory: 8.11 GiB`, 178,880 tokens.

    The device has just that beside everything else, so the room for cache is the figure to compare.
    """
    facts = "model qwen3-235b-a22b { dtype fp8 }\nengine vllm\nworkload { batch 1    prompt 100    output 1 }\n"
    held = pool(f"{facts}cluster h100-sxm x 4\ntp 4")
    beside = held.max_bytes - held.max_parts[MemoryPart.KV_CACHE]
    left = pool(f"{facts}cluster lab {{ gpus 4    device {{ memory {beside + 8.11 * GIB:.0f} B }} }}\ntp 4")
    assert left.cache_tokens_per_replica == pytest.approx(178_880, rel=WITHIN)


def test_weights_of_qwen3_30b_over_four_gpus() -> None:
    """vllm-project/vllm issues 17469 and 17327: vLLM 0.8.5, bf16, tp 4: `Model loading took 14.2474 GiB`."""
    held = pool("model qwen3-30b-a3b\nengine vllm\ncluster h100-sxm x 4\ntp 4")
    assert held.max_parts[MemoryPart.WEIGHTS] / GIB == pytest.approx(14.2474, rel=WITHIN)


@pytest.mark.parametrize("strategy", ["tp 8", "ep 8"])
def test_latent_cache_of_deepseek_v3(strategy: str) -> None:
    """SGLang, log of 2025-11-04 of a DeepseekV3ForCausalLM with fp8 cache: 524,288 tokens are 17.16 GB (GiB)."""
    facts = "model deepseek-v3 { kv_dtype fp8 }\nengine sglang\ncluster h200-sxm x 8\n"
    batch = 8 if strategy == "ep 8" else 1
    held = pool(f"{facts}workload {{ batch {batch}    prompt 524287    output 1 }}\n{strategy}")
    assert held.max_parts[MemoryPart.KV_CACHE] / GIB == pytest.approx(17.16, rel=WITHIN)


@pytest.mark.parametrize(
    ("tokens", "gib"),
    [(367_404, 2 * 8.23), (178_880, 8.02)],
)
def test_cache_of_stated_tokens(tokens: int, gib: float) -> None:
    """The same model in SGLang (the same issue): 367,404 tokens, K 8.23 GB and V 8.23 GB.

    94 layers × 2 × 1 head × 128 × 2 bytes = 48,128 bytes a token; 178,880 of them are 8.02 GiB.
    """
    facts = "model qwen3-235b-a22b { dtype fp8 }\nengine sglang\ncluster h100-sxm x 4\n"
    held = pool(f"{facts}workload {{ batch 1    prompt {tokens - 1}    output 1 }}\ntp 4")
    assert held.max_parts[MemoryPart.KV_CACHE] == tokens * 48_128
    assert held.max_parts[MemoryPart.KV_CACHE] / GIB == pytest.approx(gib, rel=1e-3)
