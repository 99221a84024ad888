"""Results of benchmark clients: each tool's file is read as its author meant it, and compared with a plan's load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagc.catalog.serving_results import FIGURES, ServingResult, read_results
from dagc.cli.validate import validate
from dagc.source import Source

VLLM = """\
{"date": "20250530-203806", "backend": "vllm", "model_id": "meta-llama/Llama-3.2-3B-Instruct", "num_prompts": 300,
 "request_rate": 10.0, "burstiness": 1.0, "max_concurrency": null, "duration": 36.0, "completed": 300,
 "total_input_tokens": 299700, "total_output_tokens": 81000, "request_throughput": 8.33, "mean_ttft_ms": 54.58,
 "median_ttft_ms": 53.0, "std_ttft_ms": 9.27, "p99_ttft_ms": 89.77, "mean_tpot_ms": 13.58, "median_tpot_ms": 13.51,
 "std_tpot_ms": 0.92, "p99_tpot_ms": 17.65, "mean_itl_ms": 13.51, "median_itl_ms": 12.84, "p99_itl_ms": 34.21}
"""
"""A published run of `vllm bench serve` on four L40S, tokens and duration rounded; fields as in
vllm-project/vllm @ 009e6d4a vllm/benchmarks/serve.py."""

SGLANG = """\
{"backend": "sglang", "dataset_name": "sharegpt", "request_rate": 5.0, "max_concurrency": 256, "sharegpt_output_len": \
null, "random_input_len": 1024, "random_output_len": 1024, "random_range_ratio": 0.0, "duration": 200.0, "completed": \
1000, "total_input_tokens": 302000, "total_output_tokens": 196000, "mean_e2e_latency_ms": 2409.5, \
"median_e2e_latency_ms": 1537.9, "mean_ttft_ms": 91.69, "median_ttft_ms": 76.42, "p99_ttft_ms": 327.91, \
"mean_tpot_ms": 11.81, "median_tpot_ms": 11.83, "p99_tpot_ms": 19.04, "mean_itl_ms": 11.92, "median_itl_ms": 10.72, \
"p95_itl_ms": 18.84, "p99_itl_ms": 21.48, "concurrency": 11.78, "accept_length": null}
{"backend": "sglang", "dataset_name": "random", "request_rate": Infinity, "max_concurrency": 16, "random_input_len": \
1000, "random_output_len": 100, "random_range_ratio": 0.8, "duration": 50.0, "completed": 100, "total_input_tokens": \
90300, "total_output_tokens": 9010, "mean_e2e_latency_ms": 900.0, "median_tpot_ms": 8.0, "median_itl_ms": 80.0}
"""
"""The first line is a published run, tokens and duration rounded; the second has the same fields."""

TRTLLM = """\
{"engine": {"model": "some/model", "backend": "Pytorch"}, "world_info": {"tp_size": 1},
 "request_info": {"num_requests": 1, "avg_input_length": 64.0, "avg_output_length": 16.0,
                  "avg_num_concurrent_requests": 1.0},
 "performance": {"total_latency_ms": 4743.5, "avg_request_latency_ms": 4743.5, "request_throughput_req_s": 0.21,
                 "system_output_throughput_tok_s": 3.37, "system_total_throughput_tok_s": 16.86,
                 "request_latency_percentiles_ms": {"p50": 4743.5, "p90": 4743.5, "p95": 4743.5, "p99": 4743.5}},
 "streaming_metrics": {"avg_ttft_ms": 4533.1, "avg_tpot_ms": 14.03, "tpot_percentiles": {"p50": 14.03, "p99": 14.03},
                       "ttft_percentiles": {"p50": 4533.1, "p99": 4533.1}}}
"""
"""One request on a GB10, as `trtllm-bench` of TensorRT-LLM 1.3.0rc12 reported it: 4533.1 + 15 x 14.03 = 4743.5."""

AIPERF = """\
Metric,avg,min,max,p25,p50,p75,p99,std
Inter Token Latency (ms),2.81,2.66,2.88,2.79,2.83,2.84,2.87,0.04
Time to First Token (ms),49.87,17.15,99.91,49.35,49.87,50.52,92.31,9.20
Request Latency (ms),"1,652.30",1203.61,"6,433.87",1453.19,1462.99,1466.72,"6,431.16",976.18
Output Sequence Length (tokens),498.06,410.00,501.00,500.00,500.00,500.00,501.00,12.62
Input Sequence Length (tokens),300.00,300.00,300.00,300.00,300.00,300.00,300.00,0.00

Metric,Value
Output Token Throughput (tokens/sec),598.78
Total Token Throughput (tokens/sec),962.32
Request Throughput (requests/sec),1.20
Request Count,50.00
"""
"""The example in the documentation of NVIDIA/cloudai (doc/workloads/ai_dynamo.rst), thousands separated."""

AIPERF_JSON = json.dumps(
    {
        "time_to_first_token": {"unit": "ms", "avg": 49.87, "p50": 49.87, "p99": 92.31},
        "inter_token_latency": {"unit": "ms", "avg": 2.81, "p50": 2.83},
        "request_latency": {"unit": "sec", "avg": 1.6523, "p50": 1.463},
        "request_throughput": {"unit": "requests/sec", "avg": 1.2},
        "request_count": {"unit": "requests", "avg": 50},
        "input_sequence_length": {"unit": "tokens", "avg": 300.0},
        "output_sequence_length": {"unit": "tokens", "avg": 498.06},
        "input_config": {"endpoint": {"model_names": ["some/model"]}, "loadgen": {"concurrency": 4}},
    }
)

PLAN = "model llama-3.1-8b\ncluster h100-sxm x 1\nengine vllm\nstrategy main = tp 1\n"


def read(text: str) -> tuple[ServingResult, ...]:
    found, problems = read_results(Source("run.json", text))
    assert problems == ()
    return found


def test_vllm_sends_at_a_rate_without_a_limit() -> None:
    """299,700 / 300 = 999 tokens a prompt, 81,000 / 300 = 270 an output, 300 / 36 s = 8.33 requests/s."""
    (run,) = read(VLLM)
    assert (run.tool, run.model) == ("vllm bench serve", "meta-llama/Llama-3.2-3B-Instruct")
    assert (run.requests, run.failed, run.concurrency, run.rate) == (300, 0, None, 10.0)
    assert (run.prompt, run.output) == (999, 270)
    assert run.figures["p99_ttft"] == pytest.approx(0.08977)
    assert run.figures["requests_per_second"] == pytest.approx(300 / 36)
    assert run.figures["total_tokens_per_second"] == pytest.approx((299_700 + 81_000) / 36)
    assert set(run.figures) <= set(FIGURES)


def test_vllm_without_rate_and_limit_sends_all_at_once() -> None:
    (run,) = read(VLLM.replace('"request_rate": 10.0', '"request_rate": "inf"'))
    assert (run.concurrency, run.rate) == (300, None)
    (run,) = read(VLLM.replace('"completed": 300', '"completed": 200'))
    assert (run.requests, run.failed) == (200, 100)


def test_sglang_has_a_run_a_line() -> None:
    """1,000 x 0.8 = 800 to 1,000 tokens, 80 to 100; shared conversations are of no such range."""
    first, second = read(SGLANG)
    assert [one.name for one in (first, second)] == ["run.json:1", "run.json:2"]
    assert (first.tool, first.concurrency, first.rate, first.ranges) == ("sglang.bench_serving", 256, 5.0, None)
    assert (first.prompt, first.output, first.figures["median_e2e"]) == (302, 196, pytest.approx(1.5379))
    assert (second.concurrency, second.rate, second.ranges) == (16, None, ((800, 1000), (80, 100)))


def test_lengths_of_each_request_are_those_of_the_answered() -> None:
    detailed = {**json.loads(VLLM), "input_lens": [10, 20, 30], "output_lens": [5, 0, 7]}
    (run,) = read(json.dumps(detailed))
    assert run.lengths == ((10, 5), (30, 7))


def test_trtllm_reports_the_mean_in_flight() -> None:
    (run,) = read(TRTLLM)
    assert (run.tool, run.concurrency, run.is_inferred, run.prompt, run.output) == ("trtllm-bench", 1, True, 64, 16)
    assert run.figures["median_ttft"] + 15 * run.figures["median_tpot"] == pytest.approx(run.figures["p99_e2e"], 1e-4)


def test_aiperf_counts_in_flight_by_littles_law() -> None:
    """1.2 requests/s x 1.6523 s = 1.98 in flight, which its JSON states itself."""
    (run,) = read(AIPERF)
    assert (run.concurrency, run.is_inferred, run.requests) == (2, True, 50)
    assert (run.figures["median_tpot"], run.figures["p99_e2e"]) == (pytest.approx(0.00283), pytest.approx(6.43116))
    assert "median_itl" not in run.figures
    (run,) = read(AIPERF_JSON)
    assert (run.concurrency, run.is_inferred, run.model) == (4, False, "some/model")
    assert run.figures["mean_e2e"] == pytest.approx(1.6523)


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        ("", "neither JSON nor the CSV", ":1:1"),
        ("{", "not JSON", ":1:2"),
        ("[1]", "a result is a JSON object", ":1:1"),
        ('{"a": 1}', "no results of vllm bench", ":1:1"),
        ("[" * 100_000, "not JSON", ":1:1"),
        ('{"completed": 9, "duration": ' + "9" * 5000 + "}", "not JSON", ":1:1"),
        ("[]", "no results", ":1:1"),
        ("id,kind,model\n", "dagc validate --cases", ":1:1"),
        (VLLM.replace('"completed": 300', '"completed": 0'), "no request was answered", ":2:"),
        (VLLM.replace('"duration": 36.0', '"duration": 0'), "`duration` is not above 0", ":2:"),
        (VLLM.replace("53.0", "-53"), "`median_ttft_ms` is `-53`", ":4:2"),
        (VLLM.replace("53.0", "NaN"), "`median_ttft_ms` is `nan`", ":4:2"),
        (VLLM.replace("53.0", "true"), "`median_ttft_ms` is `True`", ":4:2"),
        (VLLM.replace("299700", '"many"'), "`total_input_tokens` is `many`", ":3:2"),
        (VLLM.replace('"completed": 300', '"completed": Infinity'), "`completed` is `inf`", ":2:"),
        (VLLM.replace("null", "1.5"), "a whole number is needed", ":2:"),
        (TRTLLM.replace('"avg_input_length": 64.0, ', ""), "`avg_input_length` is missing", ":2:2"),
        (TRTLLM.replace('{"tp_size": 1}', "3").replace('{"p50": 14.03, "p99": 14.03}', "3"), "is not an object", ":7:"),
        (AIPERF.replace("(ms),2.81", "(h),2.81"), "no unit of time", ":1:1"),
        (AIPERF.replace("1.20", "0"), "how many were in flight", ":1:1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named_at_its_place(tmp_path: Path, text: str, said: str, place: str) -> None:
    result = run(tmp_path, text, PLAN)
    assert result.exit_code == 2
    assert "error[X421]" in result.stderr and said in result.stderr
    assert f"run.json{place}" in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 300


def run(tmp_path: Path, text: str, plan: str, *arguments: str) -> Result:
    (tmp_path / "run.json").write_text(text)
    (tmp_path / "plan.moe").write_text(plan)
    given = ["results", str(tmp_path / "run.json"), "--plan", str(tmp_path / "plan.moe"), *arguments]
    return CliRunner().invoke(validate, given)


def test_a_wrong_run_leaves_the_others(tmp_path: Path) -> None:
    wrong = SGLANG.replace('"completed": 1000', '"completed": 0')
    result = run(tmp_path, wrong, PLAN, "--format", "json")
    assert result.exit_code == 2
    (one,) = json.loads(result.stdout)["runs"]
    assert one["run"].endswith("run.json:2")


def test_a_run_is_predicted_under_its_own_load(tmp_path: Path) -> None:
    """A step streams 16 GB of weights at 3.35 TB/s at most, 4.8 ms; the plan's own load does not count.

    Of the second run chunks hold ten tokens, so that their gaps are not compared.
    """
    result = run(tmp_path, SGLANG, PLAN + "workload { batch 4096 }\n", "--format", "json")
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)["runs"]
    assert first["load"] == "Poisson arrivals, 5 requests/s, at most 256 in flight"
    assert second["load"] == "closed loop, 16 in flight"
    predicted = {one["figure"]: one["predicted"] for one in first["figures"]}
    assert 0.0048 < predicted["median_tpot"] < 0.012
    assert predicted["requests_per_second"] == pytest.approx(5, rel=0.1)
    assert [one["figure"] for one in second["figures"] if one["figure"].endswith("itl")] == []
    assert all(one["error"] == pytest.approx(one["predicted"] / one["measured"] - 1) for one in first["figures"])


def test_what_cannot_be_predicted_says_why(tmp_path: Path) -> None:
    """A plan with an error, one of a model that does not fit, one whose requests are longer than its cache."""
    for plan in (PLAN.replace("tp 1", "tp 3"), PLAN.replace("tp 1", "tp")):
        result = run(tmp_path, VLLM, plan)
        assert result.exit_code and result.stdout == "" and "error[" in result.stderr
    long = VLLM.replace("299700", "299700000")
    assert "error[M1" in run(tmp_path, long, PLAN).stderr


@pytest.mark.parametrize("given", [["results"], ["results", "run.json"], ["--plan", "plan.moe"]])
def test_results_and_plan_go_together(given: list[str]) -> None:
    result = CliRunner().invoke(validate, given)
    assert result.exit_code == 2
    assert "dagc validate results run.json --plan plan.moe" in result.stderr


def test_a_text_of_a_file_does_not_drive_a_terminal(tmp_path: Path) -> None:
    result = run(tmp_path, VLLM.replace("meta-llama/Llama-3.2-3B-Instruct", r"a\u001b[31mb"), PLAN)
    assert "\x1b" not in result.stdout and "[31mb" in result.stdout
