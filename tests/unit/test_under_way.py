"""Requests of one length on an engine that mixes: those in flight at first have a part of their output left."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.driver.check import check, silent
from dagc.driver.load import StrategyLoad, arrivals_text
from dagc.plan.plan import Plan
from dagc.simulate.requests import draw_under_way
from dagc.source import Source

ALIKE = "concurrency 64    prompt 1024    output 256"


def plan(engine: str, load: str) -> Plan:
    text = f"model llama-3.1-8b\ncluster h100-sxm x 1\n{engine}\nworkload {{ {load} }}\nstrategy s = tp 1\n"
    return check(Source("plan.moe", text), sample=None).checked[0].plan


def ends(engine: str, load: str, seed: int = 0) -> tuple[int, int]:
    """Counted requests, and the distinct times at which they end."""
    run = StrategyLoad(plan(engine, f"{load}    seed {seed}"), silent).run
    last = run.simulated.last[slice(*run.counted)]
    return len(last), len(np.unique(last))


def test_any_part_of_an_output_is_left() -> None:
    """Of 4,000 numbers from 1 to 256, each as likely: their mean is 128.5, and its error 74 / 63."""
    workload = plan("engine vllm", "concurrency 4000    prompt 1024    output 256").facts.workload
    drawn = draw_under_way(workload, 100)
    left, whole = drawn.output[:4000], drawn.output[4000:]
    assert (left.min(), left.max(), set(whole.tolist()), drawn.arrival.any()) == (1, 256, {256}, False)
    assert left.mean() == pytest.approx(128.5, abs=4 * 74 / 63)
    assert (draw_under_way(workload, 100).output == drawn.output).all()


def test_requests_that_mix_end_one_by_one() -> None:
    """64 ends among 256 steps: in 256 (1 - e^(-64 / 256)) = 57 of these, and the same ones in each round."""
    count, times = ends("", ALIKE)
    assert times / count == pytest.approx(57 / 64, abs=0.05)
    assert "waves" not in arrivals_text(plan("", ALIKE))


@pytest.mark.parametrize("engine", ["engine vllm", "engine trtllm"])
def test_some_that_enter_a_server_meet_there(engine: str) -> None:
    """Those that enter while a step with prompts runs are in the next one together: pairs, and no waves."""
    for load in (ALIKE, f"{ALIKE}    requests 20000"):
        count, times = ends(engine, load)
        assert 1 / 2 <= times / count < 57 / 64
    assert "waves" not in arrivals_text(plan(engine, ALIKE))


def test_steps_of_prompts_alone_keep_waves() -> None:
    """Eight prompts of 1,024 tokens have room in a step, so that 64 requests end eight at a time or more."""
    count, times = ends("engine sglang", ALIKE)
    assert times / count <= 1 / 8
    assert "waves" in arrivals_text(plan("engine sglang", ALIKE))


def test_no_request_that_is_counted_has_a_part_of_an_output() -> None:
    for more in ("", "requests 500    warmup 0"):
        run = StrategyLoad(plan("engine vllm", f"{ALIKE}    {more}"), silent).run
        assert set(run.requests.output[slice(*run.counted)].tolist()) == {256}
    whole = StrategyLoad(plan("engine vllm", f"{ALIKE}    requests 500"), silent).whole_run()
    assert whole.counted == (64, 564)


def test_another_seed_is_another_run() -> None:
    one, other = (StrategyLoad(plan("engine vllm", f"{ALIKE}    seed {seed}"), silent).run for seed in (1, 2))
    assert one.tpot.mean != other.tpot.mean
    assert one.tpot.mean == pytest.approx(other.tpot.mean, rel=0.02)
