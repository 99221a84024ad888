"""Prompts between decode steps: which come together, and what of them a request meets; steps of chosen times."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from dagc.driver.check import check
from dagc.plan.interleaving import Interleaving, interleaving, largest, some
from dagc.plan.step_limits import StepLimits
from dagc.results.prompt_steps import PromptTimes, prompt_steps
from dagc.source import Source

LIMITS = StepLimits(
    mixes=False, chunks=True, ahead=False, budget=8192, prompt_budget=8192, threshold=1 << 30, most_running=256
)
WAVES = Interleaving(LIMITS, True, ranks=1, held=9, others=8, decoding=100, fresh=1000, tokens=3000)
TIMES = PromptTimes(decode=0.1, one=0.5, added=1.0, launch=0.0, entry=0.0)


def found_in(
    engine: str, load: str, strategy: str = "tp 8", model: str = "llama-3.1-70b", device: str = "h100-sxm"
) -> Interleaving | None:
    text = f"model {model}\ncluster {device} x 8\nengine {engine}\nworkload {{ {load} }}\nstrategy s = {strategy}\n"
    checked = check(Source("plan.moe", text), sample=None).checked
    return interleaving(checked[0].plan)


def tokens(engine: str, load: str, device: str = "h100-sxm") -> int:
    found = found_in(engine, load, device=device)
    assert found is not None
    return found.tokens


def test_a_wave_fills_the_budget_of_its_engine() -> None:
    """SGLang computes prompts in steps of their own, of 8,192 tokens of one prompt at most."""
    assert tokens("sglang", "concurrency 64    prompt 3000    output 256") == 8192
    assert tokens("sglang { chunked_prefill_size 4096 }", "concurrency 64    prompt 3000    output 256") == 4096


@pytest.mark.parametrize("engine", ["vllm", "trtllm"])
def test_no_wave_outlasts_mixed_steps(engine: str) -> None:
    """Outputs of one length are as those that vary around it: 63 others in 256 steps, mostly one prompt a step."""
    for output in ("256", "224 to 288"):
        found = found_in(engine, f"concurrency 64    prompt 1024    output {output}")
        assert found is not None
        assert (found.in_waves, found.tokens) == (False, 1024)


def test_a_draft_takes_rows_of_the_budget() -> None:
    """Beside 17 decoded tokens two parts of 8,150 have room in 8,192; not where each has three guessed ones too."""
    load, drafts = "concurrency 17    prompt 16300    output 256", "draft 3    accept 60 %"
    assert tokens("vllm", load) == 16300 / 2
    assert tokens("vllm", f"{load}    {drafts}") == 5434


@pytest.mark.parametrize(
    "load",
    [
        pytest.param("batch 64    prompt 1024    output 256", id="a static batch"),
        pytest.param("concurrency 1    prompt 1024    output 256", id="a lone request"),
        pytest.param("concurrency 8    prompt 1024    output 256", id="a wave with room in one step"),
    ],
)
def test_nothing_comes_between(load: str) -> None:
    assert found_in("sglang", load) is None


def test_where_lengths_vary_a_step_has_a_prompt() -> None:
    """With a prompt in each 16th step there are hardly two in one; with two in each, two."""
    assert tokens("vllm", "concurrency 64    prompt 1024    output 1000 to 1048") == 1024
    assert tokens("vllm", "concurrency 257    prompt 100    output 100 to 156") == 200
    assert tokens("sglang", "concurrency 64    prompt 1024    output 1000 to 1048") == 2048


def test_a_step_waits_for_the_prompts_of_all_its_ranks() -> None:
    """Of 64 requests 63 are others, on eight ranks; a step with prompts has one on one of them, beside seven."""
    found = found_in("vllm", "concurrency 64    prompt 1024    output 1000 to 1048", "ep 8 ; dp 8", "mixtral-8x7b")
    assert found is not None
    assert (found.ranks, found.held, found.others, found.tokens) == (8, 8, 63, 1024)
    mean = 63 / (1023 + 1)
    prompts = mean / largest(mean / 8, 8)
    assert found.beside == 7
    assert found.fullness == pytest.approx((8 * 8 - prompts + 1024 * prompts) / (8 * (7 + 1024)))


def test_prompts_wait_for_those_of_other_ranks() -> None:
    """127 others, 899 decode steps and one for the own prompt: 127 / 900 prompts a step.

    Until eight ranks have one, 8 (1 + 1/2 + ... + 1/8) = 21.74 come, in 154 steps; the first one waits for 50. With 57
    steps between them 8.06 come, and three or so on the fullest rank, beside 13 of its 16 sequences.
    """
    load = "concurrency 128    prompt 800 to 1000    output 800 to 1000"
    found = found_in("trtllm", load, "ep 8", "deepseek-v3", "h200-sxm")
    alone = found_in("trtllm { enable_balance no }", load, "ep 8", "deepseek-v3", "h200-sxm")
    assert found is not None and alone is not None
    each, period = 127 / 900, 900 / 127 + 50
    assert found.prompt_period(each) == pytest.approx(period)
    assert found.tokens == round(largest(each * period / 8, 8)) * 900 == 2700
    assert found.fullness == pytest.approx((8 * 16 + (900 - 1) * each * period) / (8 * (13 + 2700)))
    assert alone.tokens == 900
    times = replace(TIMES, decode=0.02, added=0.2)
    assert prompt_steps(found, times).often == pytest.approx(1 / period)
    assert prompt_steps(alone, times).often == pytest.approx(largest(each / 8, 8))


def test_prompts_that_have_no_room_come_in_full_steps() -> None:
    """One prompt of 8,000 a step and rank: 255 / 900 a step fill a step of eight ranks every 28 steps."""
    load = "concurrency 256    prompt 7000 to 8000    output 800 to 1000"
    found = found_in("trtllm", load, "ep 8", "deepseek-v3", "h200-sxm")
    assert found is not None
    assert prompt_steps(found, TIMES).often == pytest.approx(255 / 900 / 8)
    assert found.fullness == pytest.approx(1.0)


def test_a_request_of_a_wave_waits_for_the_steps_behind_its_own() -> None:
    """Nine requests in three steps: those of the first wait for two, those of the second for one, those of the last for
    none, over 100 decode steps.
    """
    assert prompt_steps(WAVES, TIMES).often == pytest.approx((2 + 1 + 0) / 3 / 100)


def test_decode_waits_until_no_rank_has_a_prompt() -> None:
    """The share of time without prompts: s / W = (1 - a g / (W R))^R."""
    even = replace(WAVES, in_waves=False, ranks=4, held=3, others=11, tokens=1000)
    whole = 0.1 + prompt_steps(even, TIMES).often * TIMES.added
    assert 0.1 / whole == pytest.approx((1 - 0.11 * TIMES.added / (4 * whole)) ** 4)


def test_no_request_waits_less_than_without_prompts() -> None:
    """The bounds of a search take a decode step to be the least."""
    mixed = replace(WAVES, limits=replace(LIMITS, mixes=True), in_waves=False)
    for found in (WAVES, replace(WAVES, in_waves=False), mixed):
        for part in (100, 1000, 1500, 9000):
            assert prompt_steps(replace(found, tokens=part), TIMES).often >= 0


def test_the_largest_of_poisson_numbers() -> None:
    """Two of mean 1: the sum over k of 1 - F(k)^2, F being 1/e, 2/e, 2.5/e, ..."""
    below, term, by_hand = 0.0, exp(-1), 0.0
    for k in range(40):
        below += term
        term /= k + 1
        by_hand += 1 - below**2
    assert largest(1.0, 2) == pytest.approx(by_hand)
    assert largest(3.0, 1) == 3.0
    assert largest(1e4, 8) == pytest.approx(1e4, rel=0.05)
    assert some(1e-9) == pytest.approx(1e-9) and some(50.0) == pytest.approx(1)
