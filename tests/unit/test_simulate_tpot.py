"""TPOT in closed form against the mean of a simulated closed loop of requests that are alike.

Where decode has its own GPUs, and where one request is in flight, both are the decode step, by other ways: the closed
form prices it at the mean context, the simulation adds up the steps at each context.

Where prompts are computed between, both are one figure too if each step with prompts has one prompt and waves are as
the simulation has them. Requests that are alike never come apart: where prompts have steps of their own a request waits
for half of the others, those of its wave that come after it; where prompts ride along, the first of a wave ends before
the others, whose last steps its successor's prompt rides in, so that each meets all of the others.

Two causes keep the closed form as it is up to 5 % above. Its `SPREAD` between these two cases is fitted to measured
runs, in which lengths vary. And it takes prompts one by one, whereas those in one step cost less together.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dagc.driver.check import check
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.simulate.graph_times import GraphTimes
from dagc.simulate.kernel import Simulation
from dagc.simulate.policy import Policy, Reserve
from dagc.simulate.requests import Requests
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
LOADS = (
    ("vllm", "concurrency 16    prompt 1024    output 256"),
    ("sglang", "concurrency 16    prompt 1024    output 256"),
    ("vllm", "concurrency 64    prompt 2048    output 512"),
    ("sglang", "concurrency 64    prompt 512    output 1024"),
    ("trtllm", "concurrency 32    prompt 256    output 1024"),
    ("vllm", "concurrency 8    prompt 512    output 1024    draft 3    accept 60 %"),
)
LONE = ("vllm", "concurrency 1    prompt 1024    output 256")


def policy(plan: Plan, service: Service) -> Policy:
    """Engines' way with prompts, limits that nothing meets but the budget of tokens, and a cache that is never full."""
    workload, layout = plan.facts.workload, service.attention_pool.attention
    assert layout is not None
    unit = 1024 if workload.drafted else 1
    return Policy(
        replicas=plan.deployment.replicas * service.replicas,
        ranks=layout.dp,
        mixes=plan.facts.runtime.mixes,
        budget=workload.chunk,
        prompt_budget=workload.chunk,
        threshold=workload.chunk,
        most_running=workload.batch,
        reserve=Reserve.WHOLE,
        drafted=workload.drafted,
        unit=unit,
        yielded=round(workload.tokens_per_step * unit),
    )


def excess(model: str, cluster: str, strategy: str, engine: str, load: str, chunk: str = "") -> float:
    """By how many percent the closed form is above the mean of the middle half of simulated requests."""
    text = (
        f"model {model}\ncluster {cluster}\nengine {engine}\nworkload {{ {load} {chunk} }}\nstrategy s = {strategy}\n"
    )
    found = check(Source("plan.moe", text))
    assert found.checked, [d.message for d in found.diagnostics]
    plan, metrics = found.checked[0].plan, found.checked[0].priced.assessment.metrics
    assert metrics is not None
    workload, services = plan.facts.workload, plan.deployment.services
    times = [GraphTimes(plan, one, workload.prompt + workload.output // 2) for one in services]
    flight = workload.concurrency or 1
    count = 12 * flight
    prompt, output = (np.full(count, n, dtype=np.int32) for n in (workload.prompt, workload.output))
    requests = Requests(np.zeros(count, dtype=np.int64), prompt, output, np.zeros(count, dtype=np.int32), flight)
    done = Simulation(requests, [policy(plan, one) for one in services], times).run()
    each = (done.last - done.first)[count // 4 : -(count // 4)] / (workload.output - 1)
    return 100 * (metrics.decode.seconds * 1e12 / float(each.mean()) - 1)


@pytest.mark.parametrize(("model", "load"), [("llama-3.1-70b", LOADS[0]), ("mixtral-8x7b", LOADS[5])])
def test_with_its_own_gpus_decode_is_one_figure(model: str, load: tuple[str, str]) -> None:
    assert abs(excess(model, *POOLS[model], *load)) <= 2


@pytest.mark.slow
def test_without_prompts_between_both_are_one_figure() -> None:
    pools = [excess(model, *POOLS[model], *load) for model, load in product(POOLS, LOADS)]
    lone = [excess(model, *MODELS[model], *LONE) for model in MODELS]
    assert max(map(abs, (*pools, *lone))) <= 2


@pytest.mark.slow
def test_with_prompts_between_the_closed_form_is_up_to_five_percent_above() -> None:
    """30 plans: two in three within 2 %."""
    found = np.array([excess(model, *MODELS[model], *load) for model, load in product(MODELS, LOADS)])
    assert found.min() >= -1 and found.max() <= 5
    assert np.mean(np.abs(found) <= 2) >= 0.55


@pytest.mark.parametrize("engine", ["sglang", pytest.param("vllm", marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", ["llama-3.1-70b", pytest.param("qwen3-235b-a22b", marks=pytest.mark.slow)])
def test_with_one_prompt_a_step_and_whole_waves_both_are_one_figure(
    engine: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget for 512 prompt tokens, beside 64 decoded ones where they ride along. No spread makes waves whole, a
    large one has each request meet all others.
    """
    monkeypatch.setattr("dagc.results.serving.SPREAD", {True: 1e9, False: 0.0})
    budget = {"sglang": "chunk 512", "vllm": "chunk 576"}[engine]
    found = excess(model, *MODELS[model], engine, "concurrency 64    prompt 512    output 1024", budget)
    assert abs(found) <= 0.5
