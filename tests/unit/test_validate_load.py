"""`dagc validate load`: the benchmark's requests and limits, and errors of simulated runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagc.catalog import serving_overhead as overheads
from dagc.catalog.serving_benchmark import BenchmarkRow, as_run, server_limits, unusable
from dagc.catalog.serving_overhead import ServingOverhead
from dagc.catalog.serving_pools import WorkerShape
from dagc.cli.validate import validate
from dagc.driver import load_run
from dagc.driver.load_run import LoadSimulator, benchmark_requests, limits_of_pools, request_count
from dagc.engines.registry import engine_names
from dagc.results.load_validation import LoadCase, MeasuredRun, UnscoredRun, load_errors

ROW = BenchmarkRow("h200", "sglang", "fp8", 8, 1, False, 1024, 1024, 4, "2026-05-17")
HEAD = (
    "hardware,framework,precision,prefill_tp,prefill_ep,prefill_dp_attention,isl,osl,conc,date,"
    "median_ttft,median_tpot,median_itl,p99_ttft,spec_method\n"
)
GOOD = "h200,sglang,fp8,8,1,False,1024,64,2,2026-05-17,0.1,0.01,0.01,0.2,none\n"


def test_the_requests_are_those_of_the_client() -> None:
    """`np.random.seed(0)`, prompts then outputs from 0.8 of the length to all of it: the sequence of that generator."""
    requests = benchmark_requests(ROW, 40, None)
    assert requests.prompt[:8].tolist() == [991, 866, 936, 1011, 886, 1014, 922, 828]
    assert requests.output[:8].tolist() == [851, 1012, 828, 1004, 946, 851, 850, 1021]
    long = benchmark_requests(replace(ROW, prompt=8192, concurrency=64), 640, None)
    assert long.prompt[:6].tolist() == [7237, 7112, 7769, 7388, 7316, 7936]
    assert (long.prompt.mean(), long.output.mean()) == (7386.7875, 921.7609375)


def test_the_client_of_pools_counts_the_template() -> None:
    """Three tokens of each prompt are the template's: 0.8 x (8192 - 3) = 6551, and three are 6554 at least."""
    decode = WorkerShape(4, 8, 8, False)
    requests = benchmark_requests(replace(ROW, prompt=8192, decode=decode), 20_000, None)
    assert (requests.prompt.min(), requests.prompt.max()) == (6554, 8192)


@pytest.mark.parametrize("times", [10, 20, 50])
def test_the_number_of_requests_is_read_from_the_tokens(times: int) -> None:
    requests = benchmark_requests(ROW, 4 * times, None)
    ratio = (int(requests.prompt.sum()) + int(requests.output.sum())) / int(requests.output.sum())
    assert request_count(MeasuredRun(ROW, 2, {}, ratio)) == 4 * times


def test_limits_follow_the_script_of_the_day() -> None:
    """TensorRT-LLM: 64 x ceil((64 + 1024 + 64) / 64) = 1152 tokens, and 8192 at least from 2026-01-21."""
    row = replace(ROW, hardware="b200", framework="trt", concurrency=64, date="2026-01-20")
    before, after = server_limits(row), server_limits(replace(row, date="2026-01-21"))
    assert before is not None and after is not None
    assert (before.num_tokens, after.num_tokens) == (1152, 8192)
    sglang = replace(row, framework="sglang")
    intervals = [server_limits(replace(sglang, concurrency=load)) for load in (8, 16)]
    assert [one.receive_interval for one in intervals if one] == [10, 30]
    assert server_limits(replace(ROW, hardware="tpu")) is None


def test_recipes_limit_the_slots_of_a_decode_worker() -> None:
    """`ctx1_gen4_tep8_batch16` of srt-slurm: 16 requests a decode worker; 16,640 tokens take two prompts of 8k."""
    row = replace(
        ROW, hardware="gb200", framework="dynamo-trt", precision="fp4", prompt=8192, tp=4, ep=4,
        has_attention_dp=True, decode=WorkerShape(4, 8, 8, False), concurrency=76,
    )  # fmt: skip
    limits = limits_of_pools(row)
    assert limits is not None
    assert (limits.prefill_running, limits.prefill_tokens, limits.decode_running) == (2, 16640, 16)
    assert limits_of_pools(replace(row, concurrency=77)) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW, None),
        (replace(ROW, drafts="mtp"), "acceptance"),
        (replace(ROW, date="2026-05-13"), "tokenizer"),
        (replace(ROW, framework="trt", date="2025-11-02"), "not those of the table"),
        (replace(ROW, has_whole_pools=False), "workers times width"),
    ],
)
def test_rows_that_say_nothing_are_named(row: BenchmarkRow, reason: str | None) -> None:
    found = unusable(row)
    assert found is None if reason is None else reason in str(found)


def test_a_script_that_splits_experts_by_ep_does_so_where_the_row_says_ep_1() -> None:
    """`--enable-ep-moe` was in SGLang's script for fp4 on B200 up to images that rows state."""
    row = replace(ROW, hardware="b200", framework="sglang", precision="fp4", tp=8, ep=1, image="")
    assert as_run(row).ep == 8 and unusable(row) is None
    others = (
        replace(row, image="lmsysorg/sglang:v0.5.5"), replace(row, precision="fp8"), replace(row, hardware="h200"),
        replace(row, has_attention_dp=True), replace(row, decode=WorkerShape(1, 8, 8, False)),
    )  # fmt: skip
    assert [as_run(one).ep for one in others] == [1] * len(others)


def test_entry_and_cold_steps_are_added_where_they_are_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client: each request pays the entry; a cold first step of 1 s is in the longest TTFT alone.

    Both entries are longer than the step in which the sequence before still has a row.
    """
    row = replace(ROW, concurrency=1, output=64)

    def figures(overhead: ServingOverhead) -> dict[str, float]:
        monkeypatch.setattr(load_run, "serving_overhead", lambda *_: overhead)
        found = LoadSimulator().predict(row, 10)
        assert not isinstance(found, str)
        return found

    plain = figures(ServingOverhead())
    early, later = (figures(ServingOverhead(entry_seconds=one)) for one in (0.1, 0.2))
    assert later["median_ttft"] == pytest.approx(early["median_ttft"] + 0.1, rel=1e-6)
    assert later["median_tpot"] == pytest.approx(early["median_tpot"], rel=1e-6)
    cold = figures(ServingOverhead(cold_seconds=1.0, cold_steps=1))
    assert cold["median_ttft"] == pytest.approx(plain["median_ttft"], rel=0.1)
    # Of ten values p99 lies 0.91 of the way from the last but one to the last.
    assert cold["p99_ttft"] > plain["p99_ttft"] + 0.8


def test_every_overhead_has_its_engine_and_source() -> None:
    text = Path(overheads.__file__).with_name("measured").joinpath("serving_overheads.csv").read_text()
    for line in text.splitlines()[1:]:
        framework, engine, vendor, *numbers, error, source = line.split(",", 11)
        assert framework and engine in {"", *engine_names()} and vendor in {"nvidia", "amd"} and source
        assert len(numbers) == 7 and 0 < float(error) < 1


def case(concurrency: int, measured: float, predicted: float) -> LoadCase:
    return LoadCase.of(replace(ROW, concurrency=concurrency), 1, {"median_ttft": measured}, {"median_ttft": predicted})


def test_errors_of_a_group_are_medians() -> None:
    """+10 %, -20 % and +60 %: sizes 10, 20 and 60, median 20; with signs -20, 10 and 60, median +10."""
    cases = [case(4, 1.0, 1.1), case(8, 1.0, 0.8), case(16, 1.0, 1.6)]
    run = MeasuredRun(replace(ROW, drafts="mtp", concurrency=4), 2, {})
    other = MeasuredRun(replace(ROW, drafts="mtp", concurrency=99), 3, {})
    errors = load_errors(cases, [UnscoredRun(one, "drafts") for one in (run, run, other)])
    (whole,) = [one for one in errors.groups if one.group == "all, one node"]
    assert whole.median_absolute_error["median_ttft"] == pytest.approx(0.2)
    assert whole.bias["median_ttft"] == pytest.approx(0.1)
    (dropped,) = errors.dropped
    assert (dropped.rows, dropped.loads) == (3, 1)


@pytest.mark.parametrize(
    ("cases", "cause"),
    [
        ([(4, 1.4), (64, 1.4)],
         "price of steps with prompts, or entry: +40% with up to 4 in flight, +40% with more in flight"),
        ([(4, 1.1), (8, 0.5), (64, 0.4)],
         "queue, or steps with prompts that are full: +10% with up to 4 in flight, -55% with more in flight"),
        ([(64, 0.4)], "queue, or steps with prompts that are full: -60% with more in flight"),
    ],
)  # fmt: skip
def test_the_worst_groups_have_a_cause(cases: list[tuple[int, float]], cause: str) -> None:
    """Few in flight hardly queue: where these are off as well it is the steps, else the queue."""
    (worst,) = load_errors([case(concurrency, 1.0, predicted) for concurrency, predicted in cases], []).worst
    assert (worst.group, worst.figure, worst.cause) == ("h200 sglang fp8", "median_ttft", cause)


def test_a_group_with_small_errors_has_no_cause() -> None:
    assert load_errors([case(4, 1.0, 1.29), case(64, 1.0, 0.8)], []).worst == []


def run(tmp_path: Path, text: str, *arguments: str) -> Result:
    table = tmp_path / "runs.csv"
    table.write_text(text)
    return CliRunner().invoke(validate, ["load", str(table), "--workers", "1", *arguments])


def test_repeats_of_a_load_count_once(tmp_path: Path) -> None:
    result = run(tmp_path, HEAD + GOOD + GOOD.replace("0.1,", "0.3,") + GOOD.replace("none", "mtp"), "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (one,) = found["cases"]
    assert (one["repeats"], one["measured"]["median_ttft"]) == (2, 0.2)
    assert 0 < one["predicted"]["median_ttft"] < 1
    assert [dropped["rows"] for dropped in found["dropped"]] == [1]


def test_the_text_names_the_load(tmp_path: Path) -> None:
    result = run(tmp_path, HEAD + GOOD)
    assert result.exit_code == 0
    assert "1 load scored" in result.stdout and "h200 sglang fp8 tp 8, 1024/64 x 2" in result.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "needs a column `hardware`"),
        (HEAD + GOOD.replace(",2,2026", ",0,2026"), "`conc` is `0`"),
        (HEAD + GOOD.replace(",1024,", ",-4,"), "`isl` is `-4`"),
        (HEAD + GOOD.replace("0.01,0.01", "0.01,"), "`median_itl` is missing"),
        (HEAD + GOOD.replace("0.1,", "nan,"), "`median_ttft` is `nan`"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    result = run(tmp_path, text)
    assert result.exit_code == 2
    assert "error[X404]" in result.stderr and said in result.stderr


def test_a_table_is_asked_for() -> None:
    result = CliRunner().invoke(validate, ["load"])
    assert result.exit_code == 2
    assert "dagc validate load runs.csv" in result.stderr
