"""`dagc fit --serving`: factors of kinds of work that explain a user's own runs, and what they are worth."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.calibration import Calibration, ServingFactors, Work, calibration_text, read_calibration
from dagc.catalog.presets import load_device
from dagc.cli.fit import fit
from dagc.driver.check import check
from dagc.fit.serving import KINDS, RunTimes, fit_factors
from dagc.results.metrics import Metrics
from dagc.source import Source
from tests.unit.test_serving_results import SGLANG, VLLM

HEAD = "id,kind,model,cluster,engine,workload,strategy,metric,measured"
LOADS = [(load, prompt) for load in (2, 16, 128) for prompt in (512, 4096)]
SLOWER = {Work.EXPERTS: 1.5, Work.COMMUNICATION: 0.7, Work.ATTENTION: 1.3}


def plan(load: int, prompt: int, calibration: str = "", strategy: str = "ep 8 ; tp 8") -> str:
    device = f' {{ device {{ calibration "{calibration}" }} }}' if calibration else ""
    return (
        f"model mixtral-8x7b\ncluster h100-sxm x 8{device}\nengine vllm\n"
        f"workload {{ concurrency {load} prompt {prompt} output 512 }}\nstrategy main = {strategy}\n"
    )


def metrics(text: str, directory: Path) -> Metrics:
    outcome = check(Source("plan.moe", text), directory=directory, sample=None)
    assert outcome.checked, outcome.diagnostics
    return outcome.checked[0].priced.metrics


def adjusted(directory: Path, factors: dict[Work, float]) -> str:
    """The name of a calibration of the H100 with these factors, in the directory."""
    cluster = load_device("h100-sxm")
    assert cluster is not None and cluster.device.calibration is not None
    serving = ServingFactors(factors, 3, 0.2, 0.1, "runs.csv")
    path = directory / "adjusted.json"
    path.write_text(calibration_text(replace(cluster.device.calibration, serving=serving)))
    return path.name


def by_kind(stated: dict[Work, float], other: float) -> npt.NDArray[np.float64]:
    """A figure of each kind of work."""
    return np.array([stated.get(kind, other) for kind in KINDS])


def run(directory: Path, rows: list[str], *arguments: str) -> Result:
    table = directory / "runs.csv"
    table.write_text("\n".join([HEAD, *rows]) + "\n")
    return CliRunner().invoke(fit, ["--serving", str(table), *arguments])


def row(number: int, load: int, prompt: int, seconds: float) -> str:
    workload = f"concurrency {load} prompt {prompt} output 512"
    parts = f"serving,mixtral-8x7b,h100-sxm x 8,vllm,{workload},ep 8 ; tp 8,tpot,{seconds * 1e3:.6f} ms"
    return f"run-{number},{parts}"


@pytest.mark.slow
def test_factors_of_a_device_that_differs_are_found(tmp_path: Path) -> None:
    """Runs are priced with known factors; from their times alone the fit finds those of which much time is spent.

    Six runs without noise: what is left is shrinkage. Every factor lies within twice the range that the fit states.
    """
    name = adjusted(tmp_path, SLOWER)
    rows = [row(i, *load, metrics(plan(*load, name), tmp_path).decode.seconds) for i, load in enumerate(LOADS)]
    result = run(tmp_path, rows, "-o", str(tmp_path / "mine.json"), "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["before"]["median"] > 0.1
    assert found["judged"]["median"] < 0.02
    factors = {one["work"]: one for one in found["factors"]}
    assert factors["experts"]["factor"] == pytest.approx(1.5, rel=0.05) and factors["experts"]["determined"] > 0.9
    for work in KINDS:
        spread = math.log(factors[work]["high"] / factors[work]["factor"])
        assert abs(math.log(factors[work]["factor"] / SLOWER.get(work, 1.0))) < 2 * spread
    written = read_calibration((tmp_path / "mine.json").read_bytes())
    assert written.serving is not None and written.serving.runs == len(LOADS)
    assert written.serving.factors[Work.EXPERTS] == pytest.approx(factors["experts"]["factor"], rel=1e-3)
    again = [metrics(plan(*load, "mine.json"), tmp_path).decode.seconds for load in LOADS]
    errors = [one["after"] for one in found["runs"]]
    measured = [one["measured_seconds"] for one in found["runs"]]
    assert [a / m - 1 for a, m in zip(again, measured, strict=True)] == pytest.approx(errors, abs=1e-3)


def test_a_step_has_its_kinds_of_work_once(tmp_path: Path) -> None:
    """Doubling one kind adds its time once: what all kinds add together is what doubling all of them adds.

    But for the steps with prompts: a request enters while fewer of the longer steps pass.
    """
    base = metrics(plan(16, 1024), tmp_path).decode.seconds

    def added(*kinds: Work) -> float:
        name = adjusted(tmp_path, dict.fromkeys(kinds, 2.0))
        return metrics(plan(16, 1024, name), tmp_path).decode.seconds - base

    kinds = [kind for kind in KINDS if kind is kind.family]
    each = [added(kind) for kind in kinds]
    assert min(each) > 0
    assert sum(each) == pytest.approx(added(*kinds), rel=1e-4)


def test_products_of_each_type_have_their_factor_and_else_that_of_the_kind(tmp_path: Path) -> None:
    """Experts in fp8, all else in bf16: what `experts/fp8` adds is what `experts` adds where no type is named."""
    text = plan(16, 1024).replace("mixtral-8x7b", "mixtral-8x7b { dtype bf16 expert_dtype fp8 }")
    base = metrics(text, tmp_path).decode.seconds

    def added(factors: dict[Work, float]) -> float:
        name = adjusted(tmp_path, factors)
        device = f'h100-sxm x 8 {{ device {{ calibration "{name}" }} }}'
        return metrics(text.replace("h100-sxm x 8", device), tmp_path).decode.seconds - base

    typed, whole = added({Work.EXPERTS_FP8: 2.0}), added({Work.EXPERTS: 2.0})
    assert typed == pytest.approx(whole) and typed > 0.1 * base
    assert added({Work.EXPERTS: 2.0, Work.EXPERTS_FP8: 1.0}) == pytest.approx(0.0, abs=1e-9)
    assert added({Work.EXPERTS_FP4: 2.0, Work.GEMM_FP8: 2.0}) == pytest.approx(0.0, abs=1e-9)


def test_the_host_has_its_factor_and_sources_name_the_others(tmp_path: Path) -> None:
    """VLLM's host takes 200 us a step (dagc.engines.vllm); a factor of 3 adds twice of it."""
    base = metrics(plan(16, 1024), tmp_path)
    slow = metrics(plan(16, 1024, adjusted(tmp_path, {Work.HOST: 3.0})), tmp_path)
    assert slow.serving.host_seconds - base.serving.host_seconds == pytest.approx(4e-4)
    name = adjusted(tmp_path, {Work.GEMM: 1.5, Work.COMMUNICATION: 2.0})
    outcome = check(Source("plan.moe", plan(16, 1024, name)), directory=tmp_path, sample=None)
    timelines = outcome.checked[0].priced.timelines
    assert timelines is not None
    priced = timelines[-1].priced
    sources = {
        node.op.name: cost.source
        for template, costs in zip(priced.graph.templates, priced.costs, strict=True)
        for node, cost in zip(template.nodes, costs, strict=True)
        if cost.longest
    }
    assert "1.5 times as long, fitted to serving runs" in sources["gemm"]
    assert "2 times as long, fitted to serving runs" in sources["all_reduce"]
    assert "serving runs" not in sources["attention_core"]


@settings(max_examples=3, deadline=None)
@given(
    st.lists(st.floats(0.2, 3.0), min_size=len(KINDS), max_size=len(KINDS)),
    st.integers(8, 24),
    st.integers(0, 10_000),
)
def test_an_exact_device_is_fitted_better_than_published(factors: list[float], runs: int, seed: int) -> None:
    """Times of random mixes of work: the fit comes within a tenth of what the factors explain."""
    random = np.random.default_rng(seed)
    times = RunTimes(random.dirichlet(np.full(len(KINDS), 0.5), runs) * 1e-2, np.zeros(runs))
    measured = times.seconds(np.array(factors))
    found = fit_factors(times, measured)
    assert np.median(np.abs(found.after)) <= 0.1 * np.median(np.abs(found.before)) + 0.02
    assert (found.low <= found.factors).all() and (found.factors <= found.high).all()


def test_noise_alone_changes_little() -> None:
    """Runs that scatter by 3 % around what is published: no factor of a kind with a tenth of the time moves by 15 %."""
    random = np.random.default_rng(3)
    times = RunTimes(random.dirichlet(np.full(len(KINDS), 4.0), 20) * 1e-2, np.zeros(20))
    measured = times.seconds(np.ones(len(KINDS))) * np.exp(random.normal(0, 0.03, 20))
    found = fit_factors(times, measured)
    assert np.abs(np.log(found.factors)).max() < 0.15


def test_what_runs_say_nothing_of_keeps_its_uncertainty() -> None:
    """A kind with a thousandth of the time follows the others, as kinds of a device do, within 30 % of its own."""
    one = by_kind({Work.GEMM: 4e-3, Work.ATTENTION: 3e-3, Work.EXPERTS: 3e-3, Work.ELEMENTWISE: 1e-5}, 0.0)
    parts = np.tile(one, (8, 1)) * np.linspace(1, 3, 8)[:, None]
    found = fit_factors(RunTimes(parts, np.zeros(8)), parts.sum(axis=1) * 1.3)
    little = KINDS.index(Work.ELEMENTWISE)
    assert found.strength == 1
    assert math.log(found.high[little] / found.factors[little]) == pytest.approx(0.3, rel=0.35)
    assert found.determined[little] < 0.75 and 1.05 < found.factors[little] < 1.35


def test_a_run_of_another_version_does_not_decide() -> None:
    """One run of twelve is half as fast as the others say; factors stay within 5 % of those without it."""
    random = np.random.default_rng(5)
    parts = np.zeros((12, len(KINDS)))
    families = [kind is kind.family for kind in KINDS]
    parts[:, families] = random.dirichlet(np.ones(sum(families)), 12) * 1e-2
    times = RunTimes(parts, np.zeros(12))
    truth = by_kind({Work.GEMM: 1.4, Work.EXPERTS: 0.8}, 1.0)
    measured = times.seconds(truth)
    clean = fit_factors(times, measured)
    measured[4] *= 2
    np.testing.assert_allclose(fit_factors(times, measured).factors[1:], clean.factors[1:], rtol=0.05)


def test_what_is_not_there_keeps_its_factor() -> None:
    one = by_kind({Work.GEMM: 1e-3, Work.ATTENTION: 1e-3}, 0.0)
    found = fit_factors(RunTimes(np.tile(one, (6, 1)), np.zeros(6)), np.full(6, 3e-3))
    assert found.factors[one == 0].tolist() == [1] * (len(KINDS) - 2)
    assert found.factors[KINDS.index(Work.GEMM)] == pytest.approx(1.5, rel=0.05)


def test_factors_of_a_plan_do_not_count(tmp_path: Path) -> None:
    """What was fitted before is no part of the published fit, from which factors are counted."""
    found = list[dict[str, float]]()
    (tmp_path / "run.json").write_text(SGLANG.splitlines()[1])
    for name in ("", adjusted(tmp_path, {Work.EXPERTS: 3.0})):
        (tmp_path / "plan.moe").write_text(plan(8, 512, name))
        arguments = [str(tmp_path / "run.json"), "--plan", str(tmp_path / "plan.moe"), "--format", "json"]
        found.append(json.loads(CliRunner().invoke(fit, ["--serving", *arguments]).stdout)["before"])
    assert found[0] == found[1]


def test_one_run_is_fitted_and_not_judged(tmp_path: Path) -> None:
    result = run(tmp_path, [row(1, 8, 512, 0.02)])
    assert result.exit_code == 0
    assert "One run leaves nothing to judge the factors by" in result.stdout
    assert "mixtral" not in result.stdout and "run-1  20 ms" in result.stdout


def test_runs_that_have_nothing_in_common_are_named(tmp_path: Path) -> None:
    rows = [row(i, 8, 512, 0.02 if i % 2 else 0.002) for i in range(4)]
    assert "No factor helps with runs left out" in run(tmp_path, rows).stdout


def test_results_of_a_client_need_their_plan(tmp_path: Path) -> None:
    for name, text in (("run.json", VLLM), ("runs.jsonl", SGLANG), ("plan.moe", plan(8, 512))):
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / "run.json"), str(tmp_path / "runs.jsonl")]
    result = CliRunner().invoke(fit, ["--serving", *files, "--plan", str(tmp_path / "plan.moe"), "--format", "json"])
    assert result.exit_code == 0, result.output
    measured = [one["measured_seconds"] for one in json.loads(result.stdout)["runs"]]
    assert measured == pytest.approx([0.01351, 0.01183, 0.008])
    result = CliRunner().invoke(fit, ["--serving", *files])
    assert result.exit_code == 2 and "--plan plan.moe" in result.stderr and "X422" in result.stderr


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        ([], (), "there is no run to fit"),
        ([row(1, 8, 512, 0.01).replace("tpot", "ttft")], (), "there is no run to fit"),
        ([row(1, 8, 512, 0.01)], ("--device", "h200-sxm"), "there is no run of h200-sxm"),
        ([row(1, 8, 512, 0.01), row(2, 8, 512, 0.01).replace("h100", "h200")], (), "of several devices"),
        ([row(1, 8, 512, 0.01).replace("mixtral-8x7b", "mixtral-9")], (), "error[X403]"),
    ],
)
def test_what_cannot_be_fitted_says_why(tmp_path: Path, rows: list[str], arguments: tuple[str, ...], said: str) -> None:
    result = run(tmp_path, rows, *arguments)
    assert result.exit_code == 2 and said in result.stderr


def test_a_plan_of_results_has_one_strategy_and_results_have_tokens(tmp_path: Path) -> None:
    (tmp_path / "plan.moe").write_text(plan(8, 512) + "strategy other = ep 8\n")
    (tmp_path / "run.json").write_text(VLLM)
    arguments = ["--serving", str(tmp_path / "run.json"), "--plan", str(tmp_path / "plan.moe")]
    assert "the plan has several" in CliRunner().invoke(fit, arguments).stderr
    (tmp_path / "plan.moe").write_text(plan(8, 512))
    (tmp_path / "run.json").write_text(VLLM.replace("13.51", "0").replace("13.58", "0"))
    assert "no time between two tokens" in CliRunner().invoke(fit, arguments).stderr


@pytest.mark.parametrize("given", [["t.csv"], ["t.csv", "--device", "h100-sxm", "--plan", "p.moe"]])
def test_options_of_the_two_fits_do_not_mix(given: list[str]) -> None:
    assert CliRunner().invoke(fit, given).exit_code == 2


def test_a_factor_out_of_bounds_is_refused(tmp_path: Path) -> None:
    name = adjusted(tmp_path, {Work.GEMM: 500.0})
    outcome = check(Source("plan.moe", plan(8, 512, name)), directory=tmp_path)
    (problem,) = [one for one in outcome.diagnostics if one.code.code == "N160"]
    assert "the factor `gemm` is 500" in problem.message


def test_a_calibration_without_factors_has_none() -> None:
    assert Calibration("gpu", {}).factor(Work.GEMM) == 1.0
