"""TPOT in closed form against the mean of simulated requests, under the scheduler of the engine of each plan.

The simulated mean is what `dagc simulate` shows for the plan. 84 of 86 plans whose requests are alike keep 2 %. Waves
of these requests stay as they are from one to the next where prompts have steps of their own, and the closed form
counts the steps of a wave; on engines that mix, requests begin dispersed and stay so. Two plans of eight attention
ranks are 4 and 5 % above (`limit`). It is not held there for

- a prompt of TensorRT-LLM that has no room in the budget beside the others' decoded tokens: without chunks it waits
  until fewer are left, while the closed form takes it to have room. 8,192 tokens under the default budget are so, and
  TPOT is up to several times the simulated one;
- a cache that is full, where requests are preempted or wait for blocks: up to 6 % off.

Where lengths vary by a fifth, as public benchmarks draw them, ends are taken to come evenly. Of 65 plans 59 keep 2 %.
The others are up to 4 % above, 5 % where TensorRT-LLM lets prompts wait for those of other attention ranks, so that
fewer sequences are decoded, and one 10 %: SGLang on eight attention ranks with prompts for two thirds of the time. A
run of 2,000 requests begins in a wave, of which much is left where few cycles are counted (of 20,000 it is 6 % there),
and a prompt that comes while another rank is busy with one costs less than by itself.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from dagc.driver.check import check
from dagc.source import Source

MODELS = {
    "llama-3.1-8b": ("h100-sxm x 8", "dp 4 < tp 2 >"),
    "llama-3.1-70b": ("h100-sxm x 8", "tp 8"),
    "mixtral-8x7b": ("h100-sxm x 8", "tp 8"),
    "qwen3-235b-a22b": ("h100-sxm x 8", "tp 8 ; ep 8"),
    "deepseek-v3 { dtype fp8 }": ("h200-sxm x 8", "ep 8 ; dp 8"),
}
POOLS = {
    "llama-3.1-70b": ("h100-sxm x 16", "prefill < tp 8 > | decode < tp 8 >"),
    "mixtral-8x7b": ("h100-sxm x 16", "prefill < tp 8 > | decode < tp 8 >"),
}


class Load(NamedTuple):
    """Requests in flight, tokens of prompt and output, and more of the workload."""

    engine: str
    concurrency: int
    prompt: int
    output: int
    more: str = ""


DRAFTS = "draft 3    accept 60 %"
LOADS = (
    Load("vllm", 16, 1024, 256),
    Load("vllm", 64, 2048, 512),
    Load("vllm", 128, 1024, 1024),
    Load("vllm", 256, 256, 512),
    Load("vllm", 32, 8192, 512),
    Load("vllm", 8, 512, 1024, DRAFTS),
    Load("trtllm", 32, 256, 1024),
    Load("trtllm", 64, 2048, 512),
    Load("sglang", 16, 1024, 256),
    Load("sglang", 64, 512, 1024),
    Load("sglang", 64, 4096, 512),
    Load("sglang", 4, 8192, 1024),
    Load("sglang", 128, 2048, 256),
)
LONE = (Load("vllm", 1, 1024, 256), Load("sglang", 1, 1024, 256))
FULL = ("qwen3-235b-a22b", LOADS[-1])
"""A load whose cache is full."""


class Compared(NamedTuple):
    """TPOT by closed form over the simulated mean, less 1, in percent; the share of it that prompts take."""

    excess: float
    share: float


def compared(model: str, cluster: str, strategy: str, load: Load, least: float = 1.0) -> Compared:
    """`least` is the shortest length as a share of the longest."""
    prompt, output = (
        f"{length}" if least == 1 else f"{int(least * length)} to {length}" for length in (load.prompt, load.output)
    )
    requests = f"concurrency {load.concurrency}    prompt {prompt}    output {output}    {load.more}"
    text = (
        f"model {model}\ncluster {cluster}\nengine {load.engine}\nworkload {{ {requests} }}\nstrategy s = {strategy}\n"
    )
    found = check(Source("plan.moe", text))
    assert found.checked, [d.message for d in found.diagnostics]
    priced = found.checked[0].priced
    metrics = priced.assessment.metrics
    assert metrics is not None and priced.load is not None
    run = priced.load.run
    between = metrics.serving.prompt_steps * metrics.serving.prompt_step_seconds / metrics.serving.tokens_per_step
    return Compared(100 * (metrics.decode.seconds / run.tpot.mean - 1), between / metrics.decode.seconds)


QUICK = (
    ("llama-3.1-70b", LOADS[0]),
    ("llama-3.1-70b", LOADS[10]),
    ("mixtral-8x7b", LOADS[4]),
    ("mixtral-8x7b", LOADS[7]),
    ("llama-3.1-8b", LOADS[3]),
    ("deepseek-v3 { dtype fp8 }", LOADS[12]),
)


@pytest.mark.parametrize(("model", "load"), QUICK)
def test_both_are_one_figure(model: str, load: Load) -> None:
    assert abs(compared(model, *MODELS[model], load).excess) <= limit(model, load)


def limit(model: str, load: Load) -> float:
    """Percent, more for two of eight attention ranks. A prompt of 2,048 tokens on one of them is 64 rows for each of
    256 experts, which is a tile: tokens decoded on the others take a second one, and the simulation interpolates over
    how full they are. Where TensorRT-LLM lets prompts wait for those of other ranks, fewer sequences are decoded.

    A prompt as long as vLLM's budget has no room beside tokens that are decoded, so that it takes a second step of a
    few tokens: 2.1 % as the mean of ten draws of the places in which requests begin.
    """
    if load.engine == "vllm" and load.prompt == 8192 and not model.startswith("deepseek"):
        return 2.2
    return 5.0 if model.startswith("deepseek") and load in (LOADS[1], LOADS[7]) else 2.0


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_both_are_one_figure_on_every_plan(model: str) -> None:
    """64 plans with prompts between, and ten of a lone request."""
    loads = [load for load in (*LOADS, *LONE) if (model, load) != FULL]
    found = {load: compared(model, *MODELS[model], load).excess for load in loads}
    assert {load: excess for load, excess in found.items() if abs(excess) > limit(model, load)} == {}


PIPELINES = (
    ("llama-3.1-70b", "pp 2 < tp 4 >"),
    ("qwen3-30b-a3b", "pp 2 < ep 4 >"),
    pytest.param("qwen3-30b-a3b", "pp 4 < tp 2 >", marks=pytest.mark.slow),
)


@pytest.mark.parametrize(("model", "strategy"), PIPELINES)
def test_stages_that_mix_prompts_and_decode_are_one_figure(model: str, strategy: str) -> None:
    """Of vLLM; SGLang's steps of prompts alone count with all of their way through the stages, up to 22 % above."""
    found = compared(model, "h100-sxm x 8", strategy, LOADS[1])
    assert abs(found.excess) <= 2
    assert found.share > 0.05, "the case has no use else"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "strategy"), [("llama-3.1-70b", "pp 2 < tp 4 >"), ("qwen3-30b-a3b", "pp 2 < ep 4 >")]
)
def test_stages_are_one_figure_under_other_loads(model: str, strategy: str) -> None:
    """A prompt as long as the budget, 8,192 tokens, takes a second step of a few on one of four ranks: 6 % above."""
    found = {load: compared(model, "h100-sxm x 8", strategy, load).excess for load in LOADS[:5]}
    assert {load: excess for load, excess in found.items() if abs(excess) > (6 if load.prompt == 8192 else 2.5)} == {}


@pytest.mark.slow
def test_with_its_own_gpus_decode_is_one_figure() -> None:
    """12 plans. The closed form prices the step at the mean context, the simulation adds up those at each."""
    loads = [LOADS[number] for number in (0, 1, 5, 6, 8, 9)]
    assert max(abs(compared(model, *POOLS[model], load).excess) for model, load in product(POOLS, loads)) <= 2


@pytest.mark.slow
def test_a_full_cache_is_the_limit() -> None:
    model, load = FULL
    assert abs(compared(model, *MODELS[model], load).excess) <= 2


@pytest.mark.parametrize(
    ("model", "load"),
    [("llama-3.1-70b", LOADS[0]), ("deepseek-v3 { dtype fp8 }", LOADS[1]), ("llama-3.1-70b", LOADS[9])],
)
def test_where_lengths_vary_both_are_one_figure(model: str, load: Load) -> None:
    assert abs(compared(model, *MODELS[model], load, 0.8).excess) <= 2.5


@pytest.mark.slow
def test_where_lengths_vary_most_plans_are_near() -> None:
    """58 of 65; beside those of constant lengths that are not, plans on which one sequence more begins a tile."""
    each = partial(compared, least=0.8)
    found = {(model, load): each(model, *MODELS[model], load) for model, load in product(MODELS, LOADS)}
    excess = np.array([one.excess for one in found.values()])
    seldom = np.array([one.excess for one in found.values() if one.share < 0.6])
    assert np.median(np.abs(excess)) <= 0.5 and np.mean(np.abs(excess) <= 2) >= 0.89
    assert seldom.min() >= -4 and seldom.max() <= 5
    assert excess.min() >= -4 and excess.max() <= 12
