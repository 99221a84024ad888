"""Rules of engines at their bounds: what is still started, and what is refused or starts otherwise than priced."""

from __future__ import annotations

import pytest

from dagc.check.starting.low_latency_buffers import low_latency_bytes
from dagc.driver.check import check
from dagc.source import Source

ENGINE = {
    name: f'engine {name.partition("@")[0]} {{ version "{name.partition("@")[2]}" }}'
    for name in ("vllm@0.11.0", "vllm@0.12.0", "vllm@0.33.0", "sglang@0.5.9", "sglang@0.5.23", "trtllm@1.2.1")
}
LOAD = "workload { batch 64 prompt 1000 output 100 draft 1 accept 70 % }\n"


def raised(engine: str, strategy: str, facts: str, *codes: str) -> list[str]:
    found = check(Source("plan.moe", f"{facts}\n{ENGINE[engine]}\n{strategy}\n"))
    return sorted({d.code.code for d in found.diagnostics} & set(codes))


def test_buffers_of_low_latency_kernels_by_hand() -> None:
    """DeepSeek-V3, 128 tokens on a rank: messages of 16 + 2 × 7168 = 14,352 and 2 × 7168 + 4 × 56 = 14,560 bytes.

    Sent and received are 256 × 128 messages of the longer kind each, 477,102,080 bytes, twice.
    """
    assert low_latency_bytes(128, 7168, 256) == 2 * (477_102_080 + 477_102_080)


@pytest.mark.parametrize(("tokens", "codes"), [(1024, []), (1025, ["D406"])])
@pytest.mark.parametrize("engine", ["sglang@0.5.9", "sglang@0.5.23"])
def test_sglang_sends_1024_tokens_of_a_rank_at_most(engine: str, tokens: int, codes: list[str]) -> None:
    """`assert self.num_max_dispatch_tokens_per_rank <= 1024`."""
    facts = f"model qwen3-30b-a3b\ncluster h200-sxm x 8\nworkload {{ batch {8 * tokens} prompt 16 output 16 }}"
    assert raised(engine, "ep 8 [exchange deepep]", facts, "D406") == codes
    assert raised(engine, "ep 8", facts, "D406") == raised(engine, "ep 8 ; tp 8", facts, "D406") == []


def test_buffers_count_where_the_workload_is_stated() -> None:
    """1,024 tokens of DeepSeek-V3 take 15.3 GB of an H200's 141 GB, of which SGLang leaves 0.12 - 0.03."""
    facts = "model deepseek-v3\ncluster h200-sxm x 8\nworkload {{ batch {} prompt 16 output 16 }}"
    assert raised("sglang@0.5.23", "ep 8 [exchange deepep]", facts.format(7168), "W145") == ["W145"]
    assert raised("sglang@0.5.23", "ep 8 [exchange deepep]", facts.format(4096), "W145") == []
    assert raised("sglang@0.5.23", "ep 8 [exchange deepep]", "model deepseek-v3\ncluster h200-sxm x 8", "W145") == []


@pytest.mark.parametrize(
    ("engine", "prefill", "decode", "codes"),
    [
        ("vllm@0.12.0", "tp 4", "tp 2", ["D404"]),
        ("vllm@0.12.0", "tp 2", "tp 4", []),
        ("vllm@0.12.0", "tp 4", "tp 4", []),
        ("vllm@0.33.0", "tp 4", "tp 2", []),
        ("sglang@0.5.9", "pp 4", "pp 2", ["D404"]),
        ("sglang@0.5.9", "pp 4", "tp 2", []),
        ("sglang@0.5.23", "pp 2", "pp 2", []),
        ("trtllm@1.2.1", "pp 4", "pp 2", []),
    ],
)
def test_which_pools_read_each_others_caches(engine: str, prefill: str, decode: str, codes: list[str]) -> None:
    facts = "model llama-3.1-8b\ncluster h100-sxm x 8"
    assert raised(engine, f"prefill < {prefill} > | decode < {decode} >", facts, "D404") == codes


@pytest.mark.parametrize(
    ("model", "prefill", "decode", "codes"),
    [
        ("llama-3.1-8b", "tp 4", "tp 8", ["W144"]),
        ("llama-3.1-8b", "tp 4", "tp 4", []),
        ("deepseek-v3", "ep 8 ; tp 8", "ep 16 ; tp 16", []),
        # 4 key-value heads: tp 4 and tp 8 hold one each.
        ("qwen3-30b-a3b", "tp 4", "tp 8", []),
    ],
)
def test_heads_of_pools_are_cut_alike_or_sent_in_parts(model: str, prefill: str, decode: str, codes: list[str]) -> None:
    facts = f"model {model}\ncluster h200-sxm x 24"
    assert raised("sglang@0.5.23", f"prefill < {prefill} > | decode < {decode} >", facts, "W144") == codes


@pytest.mark.parametrize(
    ("engine", "strategy", "codes"),
    [
        ("sglang@0.5.9", "pp 2 < ep 16 >", ["D405"]),
        ("sglang@0.5.9", "ep 32", []),
        ("sglang@0.5.9", "prefill < pp 2 < ep 8 > > | decode < ep 16 >", ["D405"]),
        ("sglang@0.5.23", "prefill < pp 2 < ep 8 > > | decode < ep 16 >", []),
        ("sglang@0.5.23", "pp 2 < ep 16 >", ["D405"]),
    ],
)
def test_where_sglang_guesses_tokens_ahead(engine: str, strategy: str, codes: list[str]) -> None:
    assert raised(engine, strategy, f"model deepseek-v3\ncluster h200-sxm x 32\n{LOAD}", "D405") == codes


@pytest.mark.parametrize(
    ("engine", "model", "codes"),
    [
        ("vllm@0.12.0", "deepseek-v3", ["D401"]),
        ("vllm@0.33.0", "deepseek-v3", []),
        ("vllm@0.33.0", "qwen3-30b-a3b", ["D413"]),
        ("sglang@0.5.9", "deepseek-v3", ["D423"]),
        ("sglang@0.5.9", "deepseek-v3.2", []),
        ("sglang@0.5.23", "deepseek-v3", ["D425"]),
        ("sglang@0.5.23", "qwen3-30b-a3b", []),
    ],
)
def test_who_splits_a_prompt(engine: str, model: str, codes: list[str]) -> None:
    facts = f"model {model}\ncluster h200-sxm x 8"
    assert raised(engine, "ep 8 ; cp 2 < tp 4 >", facts, "D401", "D413", "D423", "D425") == codes


@pytest.mark.parametrize(
    ("model", "strategy", "codes"),
    [
        ("deepseek-v3", "ep 16 ; cp 16", []),
        ("deepseek-v3", "ep 16 ; dp 2 < cp 8 >", []),
        ("deepseek-v3", "ep 8 < tp 2 > ; cp 16", ["D425"]),
        ("deepseek-v3.2", "ep 8 ; cp 8", []),
        ("deepseek-v3.2", "ep 16 ; cp 16", ["D425"]),
    ],
)
def test_latent_prompts_are_split_over_a_stage(model: str, strategy: str, codes: list[str]) -> None:
    facts = f"model {model}\ncluster h200-sxm x 16"
    assert raised("sglang@0.5.23", strategy, facts, "D401", "D425") == codes


@pytest.mark.parametrize(("engine", "codes"), [("sglang@0.5.9", ["D401"]), ("sglang@0.5.23", [])])
def test_sglang_has_stages_with_split_prompts_since_0_5_23(engine: str, codes: list[str]) -> None:
    facts = "model deepseek-v3.2\ncluster h200-sxm x 16"
    assert raised(engine, "pp 2 < ep 8 ; cp 8 >", facts, "D401", "D423", "D425") == codes


@pytest.mark.parametrize(
    ("strategy", "codes"),
    [("ep 8 ; cp 8", []), ("ep 16 ; cp 8 < tp 2 >", ["D401"]), ("ep 8 ; dp 2 < cp 2 < tp 2 > >", ["D401"])],
)
def test_sglang_0_5_9_splits_prompts_over_8_ranks(strategy: str, codes: list[str]) -> None:
    """`assert self.tp_size == 8` and `assert self.dp_size == 1` of the round-robin split."""
    facts = "model deepseek-v3.2\ncluster h200-sxm x 16"
    assert raised("sglang@0.5.9", strategy, facts, "D401", "D423") == codes


@pytest.mark.parametrize(
    ("strategy", "codes"),
    [
        ("ep 16 < tp 2 > ; dp 32", ["D424"]),  # 2048 / 32 = 64
        ("ep 8 < tp 2 > ; dp 16", []),  # 2048 / 16 = 128
        ("ep 32", []),
        ("ep 16 < tp 2 > ; dp 8 < tp 4 >", ["D424"]),
    ],
)
def test_shared_experts_are_cut_over_a_stage(strategy: str, codes: list[str]) -> None:
    facts = "model deepseek-v3\ncluster h200-sxm x 32"
    assert raised("sglang@0.5.23", strategy, facts, "D424") == codes


@pytest.mark.parametrize(
    ("engine", "strategy", "codes"),
    [
        ("sglang@0.5.23", "pp 5 < ep 4 >", ["W143"]),
        ("sglang@0.5.23", "pp 4 < ep 4 >", []),
        ("sglang@0.5.23", "pp 3 < ep 8 >", []),
        ("sglang@0.5.23", "dp 3 < ep 6 >", []),  # an instance has one node
        ("vllm@0.33.0", "dp 4 < pp 3 < tp 2 > >", []),
        ("vllm@0.33.0", "pp 3 < ep 8 ; tp 2 >", ["W143"]),  # 6 ranks of a dp rank: one a node
        ("trtllm@1.2.1", "pp 3 < ep 4 >", ["W143"]),  # 12 ranks on nodes of 6
    ],
)
def test_nodes_that_an_engine_does_not_fill(engine: str, strategy: str, codes: list[str]) -> None:
    facts = "model m { layers 60 experts 96 { top 2 } }\ncluster h100-sxm x 48"
    assert raised(engine, strategy, facts, "W143") == codes
