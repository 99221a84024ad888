"""TPOT under a concurrency, and queues, from steps whose times are chosen."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from dagc.engines.registry import get_engine
from dagc.engines.runtime import Runtime
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


def test_each_prompt_of_another_request_lengthens_a_step() -> None:
    """Nine requests are decoded for 100 steps and in prefill for one: of the eight others each has one prompt in 101
    steps, of 1 s more.
    """
    found = served("concurrency 9    prompt 1000    output 101    chunk 3008", Steps(2.0, 0.05, 1.05))
    assert found.prompt_steps == pytest.approx(8 / 101)
    assert found.tpot_seconds == pytest.approx(0.05 + 8 / 101 * 1)


def test_a_prompt_beyond_the_budget_takes_several_steps() -> None:
    """2,000 tokens in chunks of 500, beside nine decoded ones: eight prompts of four steps in 104."""
    found = served("concurrency 9    prompt 2000    output 101    chunk 509", Steps(2.0, 0.05, 0.3))
    assert found.prompt_steps == pytest.approx(8 * 4 / 104)


def test_a_cached_prefix_is_not_computed() -> None:
    """Half of 2,000 tokens in chunks of 500: two steps a prompt."""
    found = served("concurrency 9    prompt 2000    output 101    chunk 509    cached 50 %", Steps(2.0, 0.05, 0.55))
    assert found.prompt_steps == pytest.approx(8 * 2 / 102)


def test_no_more_steps_have_prompts_than_there_are() -> None:
    found = served("concurrency 65    prompt 8000    output 10    chunk 1000", Steps(2.0, 0.05, 0.2))
    assert found.prompt_steps == 1
    assert found.tpot_seconds == pytest.approx(0.2)


@pytest.mark.parametrize("load", ["output 50 to 150", "output 100    rate 1 requests/s"])
def test_where_ends_come_evenly_each_of_the_others_is_met(load: str) -> None:
    """Of 11 requests each is decoded for 99 steps of 100, and 10 prompts come in 100 steps, each in one of its own."""
    found = served(f"concurrency 11    prompt 1000    {load}    chunk 2000", Steps(2.0, 0.05, 1.05))
    assert found.prompt_steps == pytest.approx(0.1)


def test_one_request_alone_waits_for_nobody() -> None:
    assert served("concurrency 1    output 100", Steps(2.0, 0.05, None)).tpot_seconds == 0.05


def test_drafts_divide_the_step_and_cost_a_layer_each() -> None:
    """Three tokens ahead, half accepted: 1 + 1/2 + 1/4 + 1/8 tokens a step of 0.08 + 3 x 0.08 / 16 s."""
    found = served("batch 32    output 100    draft 3    accept 50 %", Steps(2.0, 0.08, None))
    assert found.tokens_per_step == 1.875
    assert found.tpot_seconds == pytest.approx(0.095 / 1.875)


def apart(load: str, steps: Steps) -> Serving:
    """Under an engine whose prompts have steps of their own; prompts of 1,000 tokens."""
    one = subject(f"prompt 1000    {load}")
    return serve(replace(one, facts=replace(one.facts, engine=APART)), steps)


APART = replace(get_engine("sglang"), runtime=Runtime(mixes=False))

LAUNCH = 0.045 * LAYERS / 61
"""Seconds in which the host launches a step of prompts."""


def test_prompts_of_a_wave_wait_for_those_behind_them() -> None:
    """21 prompts of 0.1 s, one after the other: 10 on average are behind a request's own."""
    found = apart("concurrency 21    output 101    chunk 1000", Steps(0.1, 0.1, 0.1))
    assert found.prompt_steps == pytest.approx(10 / 100)
    assert found.tpot_seconds == pytest.approx(0.1 + 0.1 * 0.1)


def test_prompts_computed_together_do_not_wait_for_each_other() -> None:
    """Of six, four are in a step of 0.4 s and wait for half of one."""
    found = apart("concurrency 6    output 101    chunk 4000", Steps(0.1, 0.1, 0.4))
    assert found.tpot_seconds == pytest.approx(0.1 + 4 / 6 * 0.2 / 100)
    assert apart("concurrency 4    output 101    chunk 4000", Steps(0.1, 0.1, None)).tpot_seconds == 0.1


def test_a_step_of_prompts_takes_its_launch_at_least() -> None:
    found = apart("concurrency 21    output 101    chunk 1000", Steps(0.001, 0.1, 0.001))
    assert found.tpot_seconds == pytest.approx(0.1 + 0.1 * LAUNCH)


def test_where_ends_come_evenly_decode_waits_for_each_prompt() -> None:
    """A request is away for the 65 ms in which the server takes it: 10 prompts of 0.2 s in 100 steps and 65 ms."""
    found = apart("concurrency 11    output 50 to 152    chunk 1000", Steps(0.2, 0.1, 0.2))
    whole = found.tpot_seconds
    assert whole == pytest.approx(0.1 + 10 / (100 + 0.065 / whole) * 0.2)


def test_prompts_of_one_step_cost_less_together() -> None:
    """One takes 0.2 s, two 0.3 s. In a decode step of 0.1 s 0.1 requests end.

    While the first step is on its way, 65 ms, 0.065 more do, whose prompts are in a second step if there are any.
    """
    found = apart("concurrency 11    output 50 to 152    chunk 2000", Steps(0.2, 0.1, 0.3))
    first, later = 1 - exp(-0.1), 1 - exp(-0.065)
    together = (0.1 / first + 0.065) / (1 + later)
    assert found.prompt_step_seconds == pytest.approx(0.1 + 0.1 * together)
    whole = found.tpot_seconds
    assert whole == pytest.approx(0.1 + 10 / (100 + 0.065 / whole) * found.prompt_step_seconds / together)
