"""Requests of one length on an engine that mixes: those in flight at first have a part of their output left."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.driver.check import check, silent
from dagc.driver.load import StrategyLoad, arrivals_text
from dagc.plan.plan import Plan
from dagc.simulate import repeats as repeats_module
from dagc.simulate.repeats import closed_up, draw_repeats
from dagc.source import Source

ALIKE = "concurrency 64    prompt 1024    output 256"


def plan(engine: str, load: str) -> Plan:
    text = f"model llama-3.1-8b\ncluster h100-sxm x 1\n{engine}\nworkload {{ {load} }}\nstrategy s = tp 1\n"
    return check(Source("plan.moe", text), sample=None).checked[0].plan


def ends(engine: str, load: str, seed: int = 0) -> tuple[int, int]:
    """Counted requests, and the distinct times at which they end."""
    run = StrategyLoad(plan(engine, f"{load}    seed {seed}"), silent).run
    last = run.simulated.last[run.counted]
    return len(last), len(np.unique(last))


def test_any_part_of_an_output_is_left() -> None:
    """Of 4,000 numbers from 1 to 256, each as likely: their mean is 128.5, and its error 74 / 63."""
    workload = plan("engine vllm", "concurrency 4000    prompt 1024    output 256").facts.workload
    drawn = draw_repeats(workload, (100,), 0, 0).requests
    left, whole = drawn.output[:4000], drawn.output[4000:]
    assert (left.min(), left.max(), set(whole.tolist()), drawn.arrival.any()) == (1, 256, {256}, False)
    assert left.mean() == pytest.approx(128.5, abs=4 * 74 / 63)
    assert (draw_repeats(workload, (100,), 0, 0).requests.output == drawn.output).all()


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
        assert 2 / 5 <= times / count < 57 / 64
    assert "waves" not in arrivals_text(plan(engine, ALIKE))


def test_steps_of_prompts_alone_keep_waves() -> None:
    """Eight prompts of 1,024 tokens have room in a step, so that 64 requests end eight at a time or more."""
    count, times = ends("engine sglang", ALIKE)
    assert times / count <= 1 / 8
    assert "waves" in arrivals_text(plan("engine sglang", ALIKE))


def test_no_request_that_is_counted_has_a_part_of_an_output() -> None:
    for more, sections in (("", 16), ("requests 500    warmup 0", 10)):
        run = StrategyLoad(plan("engine vllm", f"{ALIKE}    {more}"), silent).run
        assert set(run.requests.output[run.counted].tolist()) == {256}
        assert len(run.sections) == sections
    whole = StrategyLoad(plan("engine vllm", f"{ALIKE}    requests 500"), silent).whole_run()
    assert whole.sections == ((64, 564),)


def test_another_seed_is_another_run() -> None:
    one, other = (StrategyLoad(plan("engine vllm", f"{ALIKE}    seed {seed}"), silent).run for seed in (1, 2))
    assert one.tpot.mean != other.tpot.mean
    assert one.tpot.mean == pytest.approx(other.tpot.mean, rel=0.02)


def test_each_section_has_places_of_its_own() -> None:
    """The spread of their means is that of runs with other seeds, times the root of their number, within a factor of
    two; of a run that begins once it is less than a third of that.
    """
    runs = [StrategyLoad(plan("engine vllm", f"{ALIKE}    seed {seed}"), silent).run for seed in range(6)]
    many = len(runs[0].sections)
    means = [run.ttft.values.reshape(many, -1).mean(axis=1) for run in runs]
    within = np.mean([np.std(one, ddof=1) for one in means])
    between = np.std([one.mean() for one in means], ddof=1) * many**0.5
    assert between / 2 < within < between * 2
    subject = StrategyLoad(plan("engine vllm", ALIKE), silent)
    once = subject.model.run_repeats(draw_repeats(subject.plan.facts.workload, (2048,), 256, 64))
    assert np.std(once.ttft.values.reshape(many, -1).mean(axis=1), ddof=1) < within / 3


@pytest.mark.parametrize(
    ("load", "sections", "counted"),
    [("concurrency 16", 63, 2016), ("concurrency 256", 10, 2560), ("concurrency 16    requests 20000", 625, 20000)],
)
def test_a_thousand_places_are_drawn(load: str, sections: int, counted: int) -> None:
    """1,000 / 16 = 63 sections of two rounds of 16; ten at least; a longer run has more of them, of two rounds too."""
    run = StrategyLoad(plan("engine vllm", f"prompt 1024    output 64    {load}"), silent).run
    assert (len(run.sections), int(run.counted.sum())) == (sections, counted)


@pytest.mark.parametrize(("load", "held"), [("concurrency 16", 16), ("concurrency 64    requests 1000", 64)])
def test_little_s_law_holds_in_sections_of_few_rounds(load: str, held: int) -> None:
    """Sections of two rounds, whose ends come several at a time; of one round each where 1,000 requests have 15."""
    run = StrategyLoad(plan("engine vllm", f"{load}    prompt 1024    output 128"), silent).run
    assert run.requests_per_second * run.e2e.mean == pytest.approx(held, rel=0.005)


def test_no_time_is_left_between_two_sections() -> None:
    """The client of a repeat begins when all of the one before it have ended, at most a day and not a second later."""
    subject = StrategyLoad(plan("engine vllm", ALIKE), silent)
    run = subject.run
    begins = [first - 2 * 64 for first, _ in run.sections]
    for begin in begins[1:]:
        assert run.simulated.issued[begin] == run.simulated.last[:begin].max() == run.requests.arrival[begin]
    assert run.simulated.runs[:, 1].max() == run.simulated.last.max()
    assert (run.simulated.runs[1:, 0] >= run.simulated.runs[:-1, 1]).all()
    assert run.seconds < run.simulated.last.max() / 1e12


def test_repeats_that_run_long_follow_each_other_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginnings of a second apart lie within the one before: nothing is moved, and all requests end."""
    monkeypatch.setattr(repeats_module, "APART", 10**12)
    subject = StrategyLoad(plan("engine vllm", ALIKE), silent)
    repeats = draw_repeats(subject.plan.facts.workload, (64, 64), 64, 64)
    run = subject.model.run_repeats(repeats)
    assert closed_up(repeats, run.simulated)[1].last.tolist() == run.simulated.last.tolist()


def test_very_many_in_flight_begin_once() -> None:
    assert len(StrategyLoad(plan("", "concurrency 2049    prompt 16    output 2"), silent).run.sections) == 1
