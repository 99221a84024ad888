"""The error of sampling: runs of ten times the length, and values whose spread is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.driver.check import check, silent
from dagc.driver.load import StrategyLoad
from dagc.simulate import load
from dagc.simulate.load import Sample
from dagc.source import Source

SHARES = (0.5, 0.9, 0.95, 0.99)

DEPLOYMENTS = {
    "vllm": (
        "model llama-3.1-70b\ncluster h100-sxm x 8\nengine vllm\n"
        "workload { seed 1    rate 8 requests/s    prompt 500 to 1500    output 100 to 400 }\nstrategy s = tp 8\n"
    ),
    "sglang": (
        "model deepseek-v3\ncluster h200-sxm x 8\nengine sglang\n"
        "workload { seed 2    rate 2 requests/s    prompt 1000 to 4000    output 200 to 1000 }\nstrategy s = tp 8\n"
    ),
    "trtllm": (
        "model qwen3-235b-a22b { dtype fp8 }\ncluster h100-sxm x 8\nengine trtllm\n"
        "workload { seed 3    rate 4 requests/s    prompt 800 to 1200    output 300 to 500 }\n"
        "strategy s = ep 8 ; dp 8\n"
    ),
    "pools": (
        "model deepseek-v3\ncluster h200-sxm x 24\nengine sglang\n"
        "workload { seed 4    rate 5 requests/s    prompt 2000 to 4096    output 500 to 1024 }\n"
        "strategy s = prefill < ep 8 > | decode < ep 16 >\n"
    ),
    "replicas": (
        "model mixtral-8x7b\ncluster h100-sxm x 8\nengine vllm\n"
        "workload { seed 5    rate 10 requests/s    prompt 512 to 2048    output 64 to 256 }\n"
        "strategy s = dp 4 < tp 2 >\n"
    ),
}


LOOPS = {
    "closed": (
        "model llama-3.1-70b\ncluster h100-sxm x 8\nengine vllm\n"
        "workload { seed 1    concurrency 64    prompt 1024    output 256 }\nstrategy s = tp 8\n"
    ),
    "closed, attention dp": (
        "model deepseek-v3\ncluster h200-sxm x 8\nengine vllm\n"
        "workload { seed 2    concurrency 64    prompt 2048    output 512 }\nstrategy s = ep 8 ; dp 8\n"
    ),
    "closed, trtllm": (
        "model qwen3-235b-a22b { dtype fp8 }\ncluster h100-sxm x 8\nengine trtllm\n"
        "workload { seed 3    concurrency 128    prompt 1024    output 512 }\nstrategy s = ep 8 ; dp 8\n"
    ),
}
"""Closed loops of constant lengths, whose requests keep the places in which they began."""


@pytest.mark.slow
@pytest.mark.parametrize(("plans", "least"), [(DEPLOYMENTS, 0.95), (LOOPS, 0.9)], ids=["open", "closed"])
def test_runs_of_ten_times_the_length_agree_within_the_error(plans: dict[str, str], least: float) -> None:
    """Two runs differ by more than the root of the sum of squares of their errors in one of twenty figures. Each plan
    has a seed of its own, or all would have one stream of arrivals. In a closed loop of constant lengths each section
    is one draw of places, and the highest percentiles are those of few: some of these errors are too small.
    """
    agree: list[bool] = []
    for text in plans.values():
        plan = check(Source("plan.moe", text)).checked[0].plan
        short = StrategyLoad(plan, silent).run
        long = StrategyLoad(plan, silent, 10 * int(short.counted.sum())).run
        for name in ("ttft", "tpot", "e2e"):
            one, other = getattr(short, name), getattr(long, name)
            pairs = zip(
                one.figures(SHARES), other.figures(SHARES), one.errors(SHARES), other.errors(SHARES), strict=True
            )
            agree += [abs(a - b) <= np.hypot(error, least) for a, b, error, least in pairs]
    assert len(agree) == 15 * len(plans)
    assert np.mean(agree) >= least


@pytest.mark.slow
@pytest.mark.parametrize("text", [LOOPS["closed"].replace("64", "16"), LOOPS["closed"]], ids=["16", "64"])
def test_a_percentile_is_within_its_error_with_most_seeds(text: str) -> None:
    """Of 40 seeds, against the mean of all of them, which has an error a sixth of that of one."""
    plan = check(Source("plan.moe", text)).checked[0].plan
    found: list[tuple[list[float], list[float | None]]] = []
    times = None
    for seed in range(40):
        workload = replace(plan.facts.workload, arrival_seed=100 + seed)
        load = StrategyLoad(replace(plan, facts=replace(plan.facts, workload=workload)), silent)
        load.model = replace(load.model, times=times or load.model.times)
        times = load.model.times
        found.append((load.run.ttft.figures(SHARES), load.run.ttft.errors(SHARES)))
    figures, errors = (np.array(one, dtype=np.float64) for one in zip(*found, strict=True))
    holds = (np.abs(figures - figures.mean(axis=0)) <= errors + 1e-9).mean(axis=0)
    assert holds.min() >= 0.85
    assert holds.mean() >= 0.9


def test_independent_values_have_the_error_of_the_textbook() -> None:
    """Of 10,000 uniform values the mean has a standard error of 1 / sqrt(12 · 10,000) = 0.0029, and the quantile at q
    one of sqrt(q (1 - q) / 10,000): 0.005 at 0.5, 0.001 at 0.99. The interval of 95 % is 2.26 of them either way.
    """
    values = np.random.RandomState(1).random_sample((20, 10_000))
    found = np.array([Sample(one).errors((0.5, 0.99)) for one in values], dtype=np.float64).mean(axis=0)
    assert found == pytest.approx([0.0065, 0.0113, 0.00225], rel=0.15)


def test_a_high_quantile_of_one_section_has_a_large_error() -> None:
    """All of the largest values are in one of ten sections: the next run may have none, or twice as many."""
    values = np.random.RandomState(2).random_sample(10_000)
    busy = values.copy()
    busy[:1000] += np.where(values[:1000] > 0.8, 5.0, 0.0)
    mixed = np.random.RandomState(3).permutation(busy)
    one, other = (Sample(part).errors((0.99,))[1] for part in (busy, mixed))
    assert one is not None and other is not None
    assert one > 3 * other


def test_fewer_values_than_sections_have_no_error() -> None:
    assert Sample(np.arange(9.0)).errors(SHARES) == [None] * 5


def test_gaps_of_very_many_steps_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a part for every fourth step or so, which counts as many gaps: the same number in all."""
    lone = DEPLOYMENTS["vllm"].replace("rate 8 requests/s", "concurrency 1")
    run = StrategyLoad(check(Source("plan.moe", lone)).checked[0].plan, silent, 200).run
    each = run.itl
    monkeypatch.setattr(load, "MOST_GAPS", len(each.values) // 4)
    parts = run.itl
    assert each.weights is not None and parts.weights is not None
    assert len(parts.values) < len(each.values) // 2
    assert parts.weights.sum() == each.weights.sum()
    assert parts.figures(SHARES) == pytest.approx(each.figures(SHARES), rel=2e-3)
