"""TPOT under a concurrency, and queues, from steps whose times are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.engines.engine import Runtime
from dagc.engines.registry import get_engine
from dagc.plan.plan import Plan
from dagc.results.serving import Serving, Steps, serve
from tests.unit.results_plans import SHAPED, plan

LAYERS = 16
"""Of the model of these plans."""


def served(workload: str, steps: Steps) -> Serving:
    return serve(subject(workload), steps)


def subject(workload: str) -> Plan:
    return plan(f"workload {{ {workload} }}", strategy="tp 4", layout=(), model=SHAPED)


def test_a_static_batch_has_nothing_between_its_tokens() -> None:
    found = served("batch 32    output 100", Steps(2.0, 0.05, None))
    assert (found.tpot_seconds, found.prompt_steps, found.concurrency) == (0.05, 0.0, None)


def test_prompts_that_ride_along_cost_what_they_add() -> None:
    """A prompt of 1,000 tokens is a step of the 100 and adds 1 s; ends lie 0.2 x 100 x 0.05 = 1 s apart: half in waves.

    Of 33 in flight 32 others come in between when even, (33 - 1) / 2 = 16 are behind a request in a wave: 24 in 100.
    """
    found = served("concurrency 33    prompt 1000    output 100    chunk 1000", Steps(2.0, 0.05, 1.05))
    assert found.prompt_steps == pytest.approx(0.24)
    assert found.tpot_seconds == pytest.approx(0.05 + 0.24 * 1)


def test_a_prompt_beyond_the_budget_takes_several_steps() -> None:
    """2,000 tokens in chunks of 500 are four steps of 0.25 s more: half in waves, (8 / 2 + 8) / 2 = 6 prompts."""
    found = served("concurrency 9    prompt 2000    output 100    chunk 500", Steps(2.0, 0.05, 0.3))
    assert found.prompt_steps == pytest.approx(0.24)


def test_a_cached_prefix_is_not_computed() -> None:
    """Half of 2,000 tokens in chunks of 500: two steps a prompt, of 0.5 s more each, so half in waves again."""
    found = served("concurrency 9    prompt 2000    output 100    chunk 500    cached 50 %", Steps(2.0, 0.05, 0.55))
    assert found.prompt_steps == pytest.approx(0.12)


def test_no_more_steps_have_prompts_than_there_are() -> None:
    found = served("concurrency 65    prompt 8000    output 10    chunk 1000", Steps(2.0, 0.05, 0.2))
    assert found.prompt_steps == 1
    assert found.tpot_seconds == pytest.approx(0.2)


def test_one_request_alone_waits_for_nobody() -> None:
    assert served("concurrency 1    output 100", Steps(2.0, 0.05, None)).tpot_seconds == 0.05


def test_drafts_divide_the_step_and_cost_a_layer_each() -> None:
    """Three tokens ahead, half accepted: 1 + 1/2 + 1/4 + 1/8 tokens a step of 0.08 + 3 x 0.08 / 16 s."""
    found = served("batch 32    output 100    draft 3    accept 50 %", Steps(2.0, 0.08, None))
    assert found.tokens_per_step == 1.875
    assert found.tpot_seconds == pytest.approx(0.095 / 1.875)


def apart(concurrency: int, steps: Steps, chunk: int = 1000) -> Serving:
    """Under an engine whose prompts have steps of their own; prompts of 1,000 tokens, 100 tokens out."""
    block = f"concurrency {concurrency}    prompt 1000    output 100    chunk {chunk}"
    one = subject(block)
    return serve(replace(one, facts=replace(one.facts, engine=APART)), steps)


APART = replace(get_engine("sglang"), runtime=Runtime(mixes=False))


def test_prompts_of_a_wave_wait_for_those_behind_them() -> None:
    """Ends lie a step of 0.1 s apart, a batch of one prompt takes 0.1 s: half the waiting is in waves, half even.

    Of 21 in flight 20 others come before each request's end when even, (21 - 1) / 2 = 10 are behind it in a wave.
    """
    found = apart(21, Steps(0.1, 0.1, None))
    assert found.prompt_steps == pytest.approx((20 / 2 + 10 / 2) / 100)
    assert found.tpot_seconds == pytest.approx(0.1 + 0.15 * 0.1)


def test_prompts_computed_together_do_not_wait_for_each_other() -> None:
    """Four prompts a batch of 0.4 s against 0.1 s between ends: four fifths in waves, nobody behind four of four."""
    found = apart(4, Steps(0.1, 0.1, None), chunk=4000)
    assert found.prompt_steps == pytest.approx(3 / 5 / 100)
