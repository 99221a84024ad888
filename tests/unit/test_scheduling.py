"""Schedulers of engines: defaults by GPU, limits that a plan states, and the policies and commands that follow."""

from __future__ import annotations

import pytest

from dagc.driver.check import check
from dagc.driver.launch import launch
from dagc.simulate.policy import Late, LoadBalancer, Policy, Reserve
from dagc.simulate.scheduling import policies
from dagc.source import Source

MODEL = "model deepseek-v3\n"
SMALL = (
    "lab { gpus 8    node 8    link 50 GB/s    "
    "device { memory 48 GB    bandwidth 1 TB/s    compute { bf16 300 TFLOP/s } } }"
)
"""GPUs of 48 GiB."""
CHUNKS = [("h100-sxm x 8", 8192), ("h200-sxm x 8", 8192), ("b200-sxm x 8", 16384), (SMALL, 4096)]


def policy(engine: str, cluster: str = "h200-sxm x 8", strategy: str = "tp 8", load: str = "concurrency 8") -> Policy:
    text = f"{MODEL}cluster {cluster}\n{engine}\nworkload {{ {load} }}\n{strategy}\n"
    found = check(Source("plan", text), sample=None)
    services = len(found.checked[0].plan.deployment.services)
    return policies(found.checked[0].plan, [500] * services)[0]


def command(engine: str, strategy: str = "tp 8") -> str:
    started = launch(Source("plan", f"{MODEL}cluster h200-sxm x 8\n{engine}\n{strategy}\n"))
    one = started.launched[0]
    return one.command_line(one.services[0])


@pytest.mark.parametrize(
    ("cluster", "budget", "most"), [("h200-sxm x 8", 8192, 1024), ("b200-sxm x 8", 8192, 1024), (SMALL, 2048, 256)]
)
def test_defaults_of_vllm_follow_the_memory_of_the_gpu(cluster: str, budget: int, most: int) -> None:
    """`get_batch_defaults` of vLLM: two classes of GPUs, apart at 70 GiB."""
    found = policy('engine vllm { version "0.12.0" }', cluster)
    assert (found.budget, found.most_running) == (budget, most)
    assert (found.mixes, found.chunks, found.reserve) == (True, True, Reserve.GROW)
    assert not found.ahead and not found.late, "asynchronous scheduling is the default from 0.14 on"
    assert policy('engine vllm { version "0.12.0"    async_scheduling yes }', cluster).ahead


def test_vllm_of_today_schedules_ahead_and_takes_more_tokens_on_large_gpus() -> None:
    """`get_batch_defaults` of vLLM 0.33: 16,384 from 160 GiB on; a sequence that ended by length is not computed."""
    found = policy("engine vllm", "b200-sxm x 8")
    assert (found.budget, found.ahead, found.late) == (16384, True, Late.SLOT)
    assert policy("engine vllm", "h200-sxm x 8").budget == 8192
    assert not policy("engine vllm { async_scheduling no }").ahead


@pytest.mark.parametrize(
    ("cluster", "chunk"), [("h100-sxm x 8", 8192), ("h200-sxm x 8", 8192), ("b200-sxm x 8", 16384)]
)
def test_sglang_divides_its_limits_over_attention_dp(cluster: str, chunk: int) -> None:
    """`chunked_prefill_size // dp_size` and `max_running_requests // dp_size` in server_args.py."""
    engine = "engine sglang { max_running_requests 512 }"
    whole, parts = policy(engine, cluster), policy(engine, cluster, "ep 8 ; dp 8")
    assert (whole.ranks, whole.threshold, whole.most_running) == (1, chunk, 512)
    assert (parts.ranks, parts.threshold, parts.most_running) == (8, chunk // 8, 64)
    assert (whole.prompt_budget, parts.prompt_budget) == (16384, 16384)
    assert (whole.ratio_first, parts.ratio_first) == (0.7, 0.21)
    assert whole.ratio_min == pytest.approx(0.7 * 0.14)
    assert not whole.mixes and whole.ahead and whole.late and whole.reserve is Reserve.ESTIMATE
    assert not policy("engine sglang { disable_overlap_schedule yes }").ahead


def test_a_mixed_chunk_of_sglang_is_the_budget_of_a_step() -> None:
    found = policy("engine sglang { enable_mixed_chunk yes    chunked_prefill_size 4096 }")
    assert (found.mixes, found.budget, found.threshold) == (True, 4096, 4096)


def test_tensorrt_llm_reserves_the_whole_output_and_does_not_chunk() -> None:
    found = policy("engine trtllm { max_batch_size 64    max_num_tokens 4096 }")
    assert (found.reserve, found.chunks, found.mixes, found.ahead) == (Reserve.WHOLE, False, True, True)
    assert (found.budget, found.most_running, found.block, found.blocks) == (4096, 64, 32, 500)
    assert policy("engine trtllm { enable_chunked_prefill yes }").chunks


@pytest.mark.parametrize(
    ("options", "load", "chunks", "budget"),
    [
        ("", "concurrency 64    prompt 8000", False, 8192),
        ("", "concurrency 65    prompt 8128", False, 8128 + 2048),
        ("max_batch_size 70", "concurrency 100    prompt 8128", False, 8128 + 70),
        ("max_batch_size 70", "concurrency 100    prompt 8128    draft 2    accept 50 %", False, 8128 + 3 * 70),
        ("", "concurrency 65    prompt 16256    cached 50 %", False, 8128 + 2048),
        ("", "concurrency 65    prompt 8128    chunk 8192", False, 8192),
        ("max_num_tokens 8192", "concurrency 65    prompt 8128", False, 8192),
        ("", "concurrency 8    prompt 8193", True, 8192),
        ("max_num_tokens 4096", "concurrency 8    prompt 8000", True, 4096),
        ("enable_chunked_prefill no", "concurrency 8    prompt 8193", False, 8193 + 2048),
        ("enable_chunked_prefill yes", "concurrency 65    prompt 8128", True, 8192),
    ],
)
def test_a_prompt_of_tensorrt_llm_has_room_beside_what_decodes(
    options: str, load: str, chunks: bool, budget: int
) -> None:
    """Where it has none at the default of 8,192 tokens, the budget is the prompt and a token, or 1 + drafts, of each of
    2,048 sequences, unless the plan states one; what is longer than the budget comes in chunks.
    """
    found = policy(f"engine trtllm {{ {options} }}" if options else "engine trtllm", load=load)
    assert (found.chunks, found.budget) == (chunks, budget)


def test_without_an_engine_steps_are_those_of_the_workload() -> None:
    found = policy("", load="concurrency 8    chunk 512    block 64    draft 3    accept 50 %")
    assert (found.budget, found.threshold, found.block, found.drafted) == (512, 512, 64, 3)
    assert found.yielded / found.unit == pytest.approx(1 + 0.5 + 0.25 + 0.125)
    assert (found.router, found.ahead) == (LoadBalancer.ROUND_ROBIN, False)


def test_a_stated_limit_is_more_than_the_chunk_and_that_more_than_a_default() -> None:
    load = "concurrency 8    chunk 512"
    assert policy("engine vllm", load=load).budget == 512
    assert policy("engine vllm { max_num_batched_tokens 1024 }", load=load).budget == 1024
    assert policy("engine sglang", load=load).threshold == 512


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("engine vllm { max_num_seqs 64 }", "--max-num-seqs 64"),
        ("engine vllm { enable_chunked_prefill no }", "--no-enable-chunked-prefill"),
        ("engine sglang { max_running_requests 64 }", "--max-running-requests 64"),
        ("engine sglang { enable_mixed_chunk yes }", "--enable-mixed-chunk"),
        ("engine trtllm { max_batch_size 64 }", "--max_batch_size 64"),
        ("engine trtllm { enable_chunked_prefill yes }", '"enable_chunked_prefill": true'),
        ("engine trtllm { enable_chunked_prefill no }", '"enable_chunked_prefill": false'),
    ],
)
def test_a_command_has_the_limits_that_are_stated(engine: str, words: str) -> None:
    assert words in command(engine)
    assert words.split()[0] not in command(engine.partition(" {")[0])


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        ("engine vllm { max_batch_size 64 }", "N111"),
        ("engine vllm { max_num_seqs 0 }", "N114"),
        ("engine vllm { max_num_seqs yes }", "N114"),
        ("engine sglang { enable_mixed_chunk 1 }", "N114"),
        ("engine megatron { max_num_seqs 64 }", "N111"),
    ],
)
def test_what_is_no_limit_of_the_engine_is_reported(engine: str, code: str) -> None:
    found = check(Source("plan", f"{MODEL}cluster h200-sxm x 8\n{engine}\ntp 8\n"), sample=None)
    assert [one.code.code for one in found.diagnostics if one.is_error] == [code]
