"""Step times between the nodes of the tables, against the same steps lowered, priced and scheduled one by one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from dagc.driver.check import check
from dagc.lower.batch import StepLoad
from dagc.plan.plan import Plan
from dagc.simulate.curve import Curve
from dagc.simulate.graph_times import GraphTimes
from dagc.source import Source
from tests.harness.step_times import decode_time

PLANS = {
    "dense": ("model llama-3.1-70b", "cluster h100-sxm x 8\nengine vllm", "concurrency 64", "tp 8"),
    "experts": ("model qwen3-235b-a22b", "cluster h100-sxm x 8\nengine vllm", "concurrency 64", "tp 8 ; ep 8"),
    "latent": ("model deepseek-v3 { dtype fp8 }", "cluster h200-sxm x 8\nengine sglang", "concurrency 64", "tp 8"),
    "fp4": ("model deepseek-v3 { dtype fp4 }", "cluster b200-sxm x 8\nengine sglang", "concurrency 64", "tp 8"),
    "drafts": (
        "model deepseek-v3 { dtype fp8 }", "cluster h200-sxm x 8\nengine sglang",
        "concurrency 64 draft 2 accept 80 %", "tp 8",
    ),
    "attention dp": (
        "model deepseek-v3 { dtype fp8 }", "cluster h200-sxm x 8\nengine trtllm", "concurrency 128", "ep 8 ; dp 8",
    ),
    "two nodes": (
        "model deepseek-v3 { dtype fp8 }", "cluster h100-sxm x 16\nengine sglang", "concurrency 128", "ep 16 ; dp 16",
    ),
    "stages": ("model qwen3-30b-a3b", "cluster h100-sxm x 8\nengine vllm", "concurrency 128", "pp 2 < tp 4 ; ep 4 >"),
    "stages of ranks": ("model qwen3-30b-a3b", "cluster h100-sxm x 8\nengine vllm", "concurrency 128", "pp 2 < ep 4 >"),
}  # fmt: skip
FEW = ("dense", "latent")
PIPELINES = ("stages", "stages of ranks")
NAMES = [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in PLANS if name not in PIPELINES]


@cache
def plan(name: str) -> Plan:
    model, cluster, load, strategy = PLANS[name]
    text = f"{model}\n{cluster}\nworkload {{ {load} prompt 1024 output 1024 }}\nstrategy s = {strategy}\n"
    found = check(Source("plan.moe", text), sample=None)
    assert found.checked, [d.message for d in found.diagnostics]
    return found.checked[0].plan


def times(name: str) -> GraphTimes:
    subject = plan(name)
    return GraphTimes(subject, subject.deployment.services[-1], 1536)


def added_by_prompts(times: GraphTimes, sequences: int, rows: int, position: float, fullness: float) -> float:
    """Multilinear between the corners about a step, as the event loop reads them."""
    nodes, values = (
        (times.sequences, times.prompts, times.contexts, times.fullness),
        (sequences, rows, position, fullness),
    )
    parts: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    for axis, value in zip(nodes, values, strict=True):
        low = min(max(int(np.searchsorted(axis, value, side="right")) - 1, 0), max(len(axis) - 2, 0))
        share = float(value - axis[low]) / float(axis[low + 1] - axis[low]) if len(axis) > 1 else 0.0
        ends = [(low, 1 - share), (low + 1, share)]
        parts = [((*at, end), weight * part) for at, weight in parts for end, part in ends if part]
    return sum(weight * times.corner(*at) for at, weight in parts)


def errors(name: str, kind: str, between: bool = False, count: int = 40) -> np.ndarray:
    """Relative errors in percent, ascending, at random steps: `kind` is decode, prompts or mixed.

    Sequences up to 512 a rank, contexts of 20 to 36,000 tokens, up to 8,192 prompt tokens of a prompt of which up to
    22,000 are computed already; fullness at its nodes, or `between` them.
    """
    subject, random = times(name), np.random.RandomState(7)
    drafted = subject.plan.facts.workload.drafted
    found: list[float] = []
    for _ in range(count):
        sequences, tokens = (int(np.exp(random.uniform(0, np.log(most)))) for most in (512, 8192))
        context, start = int(np.exp(random.uniform(3, 10.5))), int(random.choice([0, 0, np.exp(random.uniform(3, 10))]))
        nodes = subject.fullness
        fullness = float(random.uniform(nodes[0], 1) if between else random.choice(nodes))
        sequences, tokens = sequences * (kind != "prompts"), tokens * (kind != "decode")
        near = decode_time(subject, 1, sequences, sequences * context, fullness) if sequences else 0
        if tokens:
            near += added_by_prompts(subject, sequences, sequences * (1 + drafted) + tokens, start, fullness)
        exact = subject.step(sequences, StepLoad(float(context), tokens, max(1, tokens), start, fullness))
        found.append(100 * abs(near / exact - 1))
    return np.sort(found)


@pytest.mark.parametrize("name", NAMES)
def test_decode_is_within_a_percent_of_each_priced_step(name: str) -> None:
    """But where experts of eight ranks take one more tile inside of an interval that its middles do not show."""
    assert errors(name, "decode")[-1] <= (1.5 if name == "attention dp" else 1)


@pytest.mark.parametrize("kind", ["prompts", "mixed"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_with_prompts_are_within_a_percent_of_most_priced_steps(name: str, kind: str) -> None:
    """Beyond a percent are a few steps with less than 8 prompt tokens beside a prefix or hundreds of sequences, which
    are a time of their own.
    """
    found = errors(name, kind)
    assert np.median(found) <= 0.55
    assert np.mean(found > 1) <= 0.1
    assert found[-1] <= 5


@pytest.mark.parametrize("name", PIPELINES)
def test_mixed_steps_of_a_pipeline_are_within_a_percent_in_the_median(name: str) -> None:
    """Beyond it are steps whose sequences do not part evenly into two micro-batches; of one sequence up to 23 %."""
    found = errors(name, "mixed")
    assert np.median(found) <= 0.55
    assert np.percentile(found, 90) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_steps_of_several_prompts_are_within_a_percent(name: str) -> None:
    """Up to 65,536 tokens of 1 to 32 prompts, which attend to n * length * (length + 1) / 2 pairs: a step of one prompt
    of as many tokens would take up to twice as long. A jump of a tile between two nodes is off by more than 1 %.
    """
    subject = GraphTimes(plan(name), plan(name).deployment.services[-1], 1536, most_tokens=65_536)
    random, found = np.random.RandomState(3), list[float]()
    for _ in range(30):
        prompts = int(random.choice([1, 2, 3, 4, 7, 8, 16, 32]))
        length = int(np.exp(random.uniform(np.log(100), np.log(65_536 / prompts))))
        tokens = prompts * length
        position = (length + 1) / 2 - (tokens + 1) / 2
        near = added_by_prompts(subject, 0, tokens, position, 1.0)
        found.append(100 * abs(near / subject.step(0, StepLoad(1536.0, tokens, length, 0, 1.0)) - 1))
    assert np.median(found) <= 0.55
    assert max(found) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention dp", "two nodes"])
def test_between_nodes_of_fullness_jumps_of_the_experts_are_interpolated(name: str) -> None:
    """Tiles of the experts fill with the tokens of all ranks, those of attention with the fullest rank's: a jump of the
    experts lies at another number of tokens for each fullness, and is spread over the interval between two nodes.
    """
    found = {kind: errors(name, kind, between=True) for kind in ("decode", "prompts", "mixed")}
    assert all(np.median(one) <= 1 for one in found.values())
    assert np.percentile(found["decode"], 90) <= 3
    assert np.percentile(found["prompts"], 90) <= 6
    assert np.percentile(found["mixed"], 90) <= 6


def test_a_curve_finds_a_jump_and_prices_little_where_it_is_straight() -> None:
    """1,000 + n, and 200 more from 1,217 on, which no multiple of 64 is near: exact on both sides of the jump. Straight
    octaves are priced at their ends, their middle and once in each half: six numbers each.
    """
    asked: list[int] = []

    def price(number: int) -> int:
        asked.append(number)
        return 1000 + number + 200 * (number > 1216)

    curve = Curve(price)
    assert [curve.at(number) for number in (1216, 1217, 1218, 1215)] == [2216, 2417, 2418, 2215]
    asked.clear()
    straight = Curve(price)
    assert [straight.at(number) for number in range(257, 1025)] == list(range(1257, 2025))
    assert len(asked) == 12


def test_a_curve_finds_jumps_that_leave_the_middle_where_it_is() -> None:
    """A jump of 16 just before 3,009 and 4,033 each, as tiles of experts fill: between 2,049 and 4,096 the middle is
    half-way between the ends, and numbers before a jump are up to 8 % less than that.
    """

    def price(number: int) -> int:
        return 118_000 + 27 * (number - 2049) + 14_000 * (number > 3000) + 14_000 * (number > 4024)

    assert abs(price(3073) - (price(2049) + price(4096)) / 2) < 0.01 * price(3073), "the case has no use else"
    curve = Curve(price)
    assert max(abs(curve.at(number) / price(number) - 1) for number in range(2049, 4097)) < 0.01


@pytest.mark.parametrize("strategy", ["pp 2 < tp 4 >", "tp 8"])
def test_a_pipeline_begins_a_step_before_the_last_one_ends(strategy: str) -> None:
    """A prompt passes stages one after the other, and the next one enters a stage when it has left: with two stages
    that are alike an interval is about half a latency. With one stage both are one.
    """
    text = "model llama-3.1-70b\ncluster h100-sxm x 8\nworkload { concurrency 8 prompt 1024 output 64 }\n"
    found = check(Source("plan.moe", f"{text}strategy s = {strategy}\n")).checked[0].plan
    steps = GraphTimes(found, found.deployment.services[-1], 1056).steps
    prompt = steps.step(0, StepLoad(0.0, 2048, 2048))
    if strategy == "tp 8":
        assert prompt.interval == prompt.latency
    else:
        assert prompt.interval == pytest.approx(prompt.latency / 2, rel=0.1)


@pytest.mark.parametrize("fullness", [0.25, 1.0])
@pytest.mark.parametrize("prompts", [1, 2])
def test_prompts_of_all_ranks_pass_a_pipeline_as_one_step(fullness: float, prompts: int) -> None:
    """A step has prompts on all ranks of attention, or on one, and passes two stages of 24 layers as a whole: that
    takes as long as the 48 layers of one stage, and a message more. The next step enters the first stage when this one
    has left it, after half of that.
    """
    text = "model qwen3-30b-a3b\ncluster h100-sxm x 8\nworkload { concurrency 64 prompt 1024 output 64 }\n"
    strategies = "strategy piped = pp 2 < ep 4 >\nstrategy whole = dp 2 < ep 4 >\n"
    piped, whole = (
        GraphTimes(one.plan, one.plan.deployment.services[-1], 1056).steps.step(
            0, StepLoad(0.0, 1024 * prompts, 1024, 0, fullness)
        )
        for one in check(Source("plan.moe", text + strategies)).checked
    )
    assert piped.latency == pytest.approx(whole.latency, rel=0.03)
    assert piped.interval == pytest.approx(whole.latency / 2, rel=0.05)
