"""D403 and W127: where a tp cuts a block of quantised weights, by arithmetic on each matrix and the engine's rules."""

from __future__ import annotations

import pytest

from dagc.check.engines import fp8_block_cut
from tests.unit.planning import found, plan

BATCH = "workload { batch 128    prompt 1024    output 128 }\n"
OWN = (
    "model m {{ layers 4 hidden 2048 vocab 32000 dtype {} attention {{ heads 32 kv_heads 8 head_dim {} }}\n"
    "experts 16 {{ top 2 ffn 4096 }} }}\n"
)

# MiniMax-M2 is published in fp8 blocks, experts 1536 wide: 1536 / 8 = 192 = 1.5 blocks, 1536 / 4 = 3 blocks.
# DeepSeek-V3: tp 32 leaves 2048 / 32 = 64 of the shared experts and 18432 / 32 = 576 = 4.5 blocks of the dense FFN.
# Of a stated `dtype fp8` it is open whether its scales are of blocks: qwen3-30b-a3b runs at tp 4 in shards of 192.
CASES = [
    ("model minimax-m2", "vllm", "tp 8", ["an expert in shards of 192"]),
    ("model minimax-m2", "sglang", "tp 8", ["an expert in shards of 192"]),
    ("model minimax-m2", "vllm", "tp 4", []),
    ("model minimax-m2", "vllm", "ep 8 ; tp 8", []),
    ("model deepseek-v3", "vllm", "ep 16 ; tp 16", []),
    ("model deepseek-v3", "vllm", "ep 32 ; tp 32", ["the shared experts in shards of 64"]),
    ("model qwen3-235b-a22b { dtype fp8 }", "vllm", "tp 8", ["an expert in shards of 192"]),
    ("model qwen3-235b-a22b", "vllm", "tp 8", []),
    (OWN.format("fp8", 64), "vllm", "ep 8 ; tp 8", []),
    (OWN.format("fp8", 64), "vllm", "ep 4 ; tp 4", []),
    (OWN.format("fp8", 128), "vllm", "ep 16 ; tp 16", []),
    (OWN.format("bf16", 64), "vllm", "ep 8 ; tp 8", []),
]


@pytest.mark.parametrize(("model", "engine", "strategy", "refused"), CASES)
def test_shards_that_engines_refuse(model: str, engine: str, strategy: str, refused: list[str]) -> None:
    problems = list(fp8_block_cut.check(plan(f"{model}\nengine {engine}\n{BATCH}{strategy}")))
    assert [text for one in problems for text in refused if text in one.message] == refused
    assert len(problems) == len(refused)


def test_all_matrices_that_are_cut_are_named_once() -> None:
    """Tp 32 of DeepSeek-V3: queries 128 × 192 / 32 = 768 = 6 blocks are whole, the dense FFN's 576 are not."""
    (one,) = fp8_block_cut.check(plan(f"model deepseek-v3\nengine vllm\n{BATCH}ep 32 ; tp 32"))
    assert one.notes == ("the dense FFN, too: 18432 over `tp 32` are 576",)


@pytest.mark.parametrize(("engine", "code"), [("", "W127"), ("engine trtllm\n", "W127"), ("engine vllm\n", "D403")])
def test_it_is_an_error_under_the_engines_that_raise_and_advice_elsewhere(engine: str, code: str) -> None:
    problems = found(f"model minimax-m2\n{engine}{BATCH}tp 8")
    assert [one.code.code for one in problems if one.code.code in ("W127", "D403")] == [code]
