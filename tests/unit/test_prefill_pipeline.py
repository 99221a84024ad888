"""GPUs that prefill alone: their steps are full where they limit, and follow each other through stages."""

from __future__ import annotations

import pytest

from dagc.driver.check import check
from dagc.driver.pricing import judge_of
from dagc.plan.plan import Plan
from dagc.results.metrics import Metrics
from dagc.source import Source

PLAN = """model qwen3-30b-a3b
cluster h100-sxm x 24
workload { concurrency 256    prompt 8192    output 8 }
"""
"""A prompt is all that a step has room for, so that the engine puts no two into one."""


def _compiled(prefill: str, changed: str = PLAN) -> tuple[Plan, Metrics, float]:
    """Plan, metrics and simulated requests a second of prefill on 8 GPUs, slower than the decode service beside it."""
    (found,) = check(Source("plan.moe", f"{changed}strategy s = prefill < {prefill} > | decode < ep 16 >\n")).checked
    assessment = found.priced.assessment
    assert assessment.metrics is not None
    assert assessment.load is not None
    return found.plan, assessment.metrics, assessment.load.requests_per_second


def test_stages_take_the_next_prompts_when_they_have_passed_on_their_own() -> None:
    """48 layers in two stages of 24 on 4 GPUs each. A prompt on each of 4 ranks passes both, as long as it passes the
    48 layers of one stage of 4 GPUs, of which there are two on these 8 GPUs: as many requests a second, and TTFT alike.
    """
    (_, piped, piped_rate), (_, whole, whole_rate) = _compiled("pp 2 < ep 4 >"), _compiled("dp 2 < ep 4 >")
    assert piped.throughput.limited_by == whole.throughput.limited_by == "prefill"
    assert piped.prefill.seconds == pytest.approx(whole.prefill.seconds, rel=0.05)
    assert piped.throughput.requests_per_second == pytest.approx(whole.throughput.requests_per_second, rel=0.05)
    assert piped_rate == pytest.approx(whole_rate, rel=0.05)


@pytest.mark.parametrize("prefill", ["pp 2 < ep 4 >", "pp 4 < ep 2 >", "pp 8 < tp 1 >", "pp 2 < ep 4 ; cp 2 >"])
def test_simulated_requests_have_the_rate_of_the_closed_form(prefill: str) -> None:
    """With 256 requests in flight the queue of prompts is never empty."""
    _, found, simulated = _compiled(prefill)
    assert found.throughput.requests_per_second == pytest.approx(simulated, rel=0.03)


def test_the_slowest_stage_limits_a_pipeline() -> None:
    """Of 48 layers one stage has 36: three times as many as the other, and 1.5 times half of them."""
    _, even, _ = _compiled("pp 2 < ep 4 >")
    _, uneven, _ = _compiled("pp 2 [layers 36 12] < ep 4 >")
    ratio = even.throughput.requests_per_second / uneven.throughput.requests_per_second
    assert ratio == pytest.approx(1.5, rel=0.05)
    assert uneven.prefill.seconds == pytest.approx(even.prefill.seconds, rel=0.02)


def test_a_search_prices_a_pipeline_as_compile_does() -> None:
    plan, found, _ = _compiled("pp 2 < ep 4 >")
    verdict = judge_of(plan.facts).verdict("prefill < pp 2 < ep 4 > > | decode < ep 16 >", 256)
    assert dict(verdict.figures)["throughput"] == pytest.approx(found.throughput.output_tokens_per_second)


def _rates_agree(engine: str, prefill: str, prompt: int) -> bool:
    """With 1,024 requests in flight the queue is never empty; in one node of 24 GPUs no cache waits for the link."""
    changed = PLAN.replace("prompt 8192", f"prompt {prompt}").replace("concurrency 256", "concurrency 1024")
    _, found, simulated = _compiled(prefill, changed.replace("x 24", "x 24 { node 24 }") + engine)
    assert found.throughput.limited_by == "prefill"
    return found.throughput.requests_per_second == pytest.approx(simulated, rel=0.05)


@pytest.mark.parametrize(
    ("engine", "prefill", "prompt"),
    [
        ("", "tp 8", 3000),
        ("engine vllm\n", "pp 2 < ep 4 >", 1024),
        ("engine sglang\n", "dp 2 < ep 4 >", 1024),
        ("engine trtllm\n", "dp 2 < ep 4 >", 20000),
    ],
)
def test_full_steps_have_the_rate_of_simulated_requests(engine: str, prefill: str, prompt: int) -> None:
    """Prompts of which several have room in a step, one and a part of another, and a part of one. SGLang divides its
    chunk of 8,192 tokens by the ranks of attention dp, and its steps take their launches at least.
    """
    assert _rates_agree(engine, prefill, prompt)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["", "engine vllm\n", "engine sglang\n", "engine trtllm\n"])
@pytest.mark.parametrize("prefill", ["tp 8", "dp 2 < ep 4 >", "pp 2 < ep 4 >"])
def test_full_steps_of_every_engine_have_the_rate_of_simulated_requests(engine: str, prefill: str) -> None:
    assert all(_rates_agree(engine, prefill, prompt) for prompt in (1024, 3000, 20000))


def test_short_prompts_share_a_step() -> None:
    """On one GPU without an engine a step has 8,192 tokens: eight prompts of 1,024, whose products have as many rows as
    those of one of 8,192. Attention is less, so that a token takes a little less than one of a long prompt, and 1.5
    times as many a second at most.
    """
    short = PLAN.replace("prompt 8192", "prompt 1024").replace("concurrency 256", "concurrency 1024")
    (_, eight, _), (_, one, _) = _compiled("tp 8", short), _compiled("tp 8")
    ratio = eight.throughput.prefill_tokens_per_second / one.throughput.prefill_tokens_per_second
    assert 1.0 < ratio < 1.5
    assert eight.prefill.seconds < one.prefill.seconds / 4, "TTFT of an idle server is that of one prompt"
