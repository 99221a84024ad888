"""`dagc bench`: what the printed commands send, by the tools' own formulas, is the plan's workload.

The formulas are those of the tools' sources, written again here:

- vLLM (datasets.py): whole lengths from floor(n (1 - r)) to ceil(n (1 + r)), r for prompts and outputs or one of each.
- SGLang (datasets/common.py): whole lengths from max(int(n r), 1) to n, one r for both.
- TensorRT-LLM (prepare_dataset.py): both bounds, inclusive.
- AIPerf (prompt_config.py): normal lengths; uniform ones of k values have the deviation of those values.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from math import ceil, floor, hypot
from pathlib import Path
from statistics import pstdev
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import dagc
from dagc.cli.main import main
from dagc.driver.bench_tools import Load, tool_run
from dagc.export.records import schema_bytes, schema_file
from dagc.plan.workload import RequestTrace, Workload

FACTS = ("--model", "mixtral-8x7b", "--cluster", "h100-sxm x 8")
TOOLS = ("vllm", "sglang", "trtllm-bench", "aiperf")


def run(workload: str, *words: str, strategy: str = "ep 8", command: str = "bench") -> Result:
    return CliRunner().invoke(main, [command, "-e", strategy, *FACTS, "--workload", workload, *words])


def document(workload: str, *words: str) -> dict[str, Any]:
    (strategy,) = json.loads(run(workload, *words, "--format", "json").stdout)["strategies"]
    return strategy


def tool(name: str, strategy: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in strategy["tools"] if one["tool"] == name)


def options(command: str) -> dict[str, str]:
    """Options and what follows each; a switch has itself."""
    words = shlex.split(command.replace("\\\n", " "))
    pairs = zip(words, [*words[1:], ""], strict=True)
    return {word: (after if not after.startswith("--") else word) for word, after in pairs if word.startswith("--")}


def vllm_bounds(given: dict[str, str]) -> tuple[tuple[int, int], ...]:
    ratio = json.loads(given["--random-range-ratio"])
    ratios = (ratio["input"], ratio["output"]) if isinstance(ratio, dict) else (ratio, ratio)
    prefix = int(given.get("--random-prefix-len", 0))
    lengths = int(given["--random-input-len"]), int(given["--random-output-len"])
    (a, b), (c, d) = ((floor(n * (1 - r)), ceil(n * (1 + r))) for n, r in zip(lengths, ratios, strict=True))
    return (a + prefix, b + prefix), (max(c, 1), max(d, 1))


def sglang_bounds(given: dict[str, str]) -> tuple[tuple[int, int], ...]:
    ratio = float(given["--random-range-ratio"])
    lengths = int(given["--random-input-len"]), int(given["--random-output-len"])
    return tuple((max(int(n * ratio), 1), n) for n in lengths)


def asked(workload: Workload, engine: str = "") -> Load:
    degrees = {"tp": 8, "ep": 8}
    return Load("$MODEL", workload, 100, 10, workload.concurrency, False, "", engine, "", "main", degrees)


BOUNDS = st.tuples(st.integers(1, 200_000), st.integers(0, 100_000)).map(lambda pair: (pair[0], sum(pair)))


def test_the_range_of_our_plans_by_hand() -> None:
    """Of 819 to 1024 tokens the middle is 921.5, so that a whole middle, 921, has 102 to each side: 819 to 1023.
    1024 r with r between 819/1024 and 820/1024 is cut to 819. The 206 lengths deviate by sqrt((206² - 1) / 12) = 59.47.
    """
    found = document("concurrency 32 prompt 819 to 1024 output 256")
    vllm = tool("vllm", found)
    assert vllm_bounds(options(vllm["commands"][0])) == ((819, 1023), (256, 256))
    assert "prompt 819 to 1023" in vllm["differs"][0]
    sglang = tool("sglang", found)
    prompts, outputs = sglang_bounds(options(sglang["commands"][0]))
    assert prompts == (819, 1024)
    # 4/5 of the longest: 227 to 284 have the mean 255.5.
    assert outputs == (227, 284) and "output 227 to 284 in place of 256" in sglang["differs"][0]
    given = options(tool("trtllm-bench", found)["commands"][-2])
    assert [given[f"--{name}"] for name in ("input-min", "input-max", "output-min", "output-max")] == [
        "819", "1024", "256", "256",
    ]  # fmt: skip
    given = options(tool("aiperf", found)["commands"][0])
    assert (given["--isl"], given["--isl-stddev"], given["--osl"], given["--osl-stddev"]) == ("921", "59.5", "256", "0")


@given(BOUNDS, BOUNDS)
def test_ranges_become_what_each_tool_draws(prompt: tuple[int, int], output: tuple[int, int]) -> None:
    means = (sum(prompt) // 2, sum(output) // 2)
    workload = Workload(32, *means, concurrency=32, prompt_range=prompt, output_range=output)
    vllm, sglang, trtllm, aiperf = (tool_run(name, asked(workload)) for name in TOOLS)
    found = vllm_bounds(options(vllm.commands[0]))
    assert found == tuple((low, high - (high - low) % 2) for low, high in (prompt, output))
    assert len(vllm.differs) == sum((high - low) % 2 for low, high in (prompt, output))
    prompts, outputs = sglang_bounds(options(sglang.commands[0]))
    assert prompts == prompt
    # Another range of outputs is said to be one, and has the same mean but for rounding.
    assert (outputs != output) == bool(sglang.differs)
    assert sum(outputs) == pytest.approx(sum(output), abs=4)
    given = options(trtllm.commands[-2])
    drawn = [int(given[f"--{name}"]) for name in ("input-min", "input-max", "output-min", "output-max")]
    assert drawn == [*prompt, *output]
    given = options(aiperf.commands[0])
    for name, (low, high) in (("isl", prompt), ("osl", output)):
        assert float(given[f"--{name}"]) == pytest.approx((low + high) / 2, abs=0.5, rel=1e-5)
        if high - low < 1000:
            assert float(given[f"--{name}-stddev"]) == pytest.approx(pstdev(range(low, high + 1)), abs=0.051)


def test_an_open_loop_has_rate_burstiness_and_seed() -> None:
    found = document("rate 4 requests/s burstiness 0.5 prompt 1024 output 128 requests 300 seed 7")
    given = options(tool("vllm", found)["commands"][0])
    assert (given["--request-rate"], given["--burstiness"]) == ("4", "0.5") and "--max-concurrency" not in given
    assert given["--num-prompts"] == "300" and int(given["--num-warmups"]) == found["warmup"]
    given = options(tool("sglang", found)["commands"][0])
    assert given["--request-rate"] == "4" and given["--num-prompts"] == "300"
    assert any("Poisson" in text for text in tool("sglang", found)["differs"])
    given = options(tool("aiperf", found)["commands"][0])
    assert (given["--request-rate"], given["--request-rate-mode"]) == ("4", "poisson")
    assert tool("trtllm-bench", found)["refusal"] == "it has no arrivals: a request is sent as another ends"


def test_a_closed_loop_has_its_limit_and_no_rate() -> None:
    found = document("concurrency 16 prompt 1024 output 128", "--requests", "200")
    assert (found["requests"], "closed loop, 16 in flight" in found["workload"]) == (200, True)
    commands = {name: options(tool(name, found)["commands"][-1]) for name in TOOLS}
    assert commands["vllm"]["--max-concurrency"] == commands["sglang"]["--max-concurrency"] == "16"
    assert commands["trtllm-bench"]["--concurrency"] == commands["aiperf"]["--concurrency"] == "16"
    assert commands["vllm"]["--request-rate"] == "inf" and "--request-rate" not in commands["aiperf"]


def test_a_static_batch_is_sent_at_once() -> None:
    """Its TTFT is that of the last request, and its rate what it yields until its end."""
    found = document("batch 32 prompt 1024 output 128")
    given = options(tool("vllm", found)["commands"][0])
    assert given["--num-prompts"] == given["--max-concurrency"] == given["--num-warmups"] == "32"
    assert tool("vllm", found)["figures"][0] == "p100_ttft_ms"
    first, between, rate = found["predicted"]
    assert (first["metric"], first["statistic"]) == ("ttft", "last")
    seconds = first["value"] + 127 * between["value"]
    assert rate["value"] == pytest.approx(32 * 128 / seconds, rel=0.02)
    slowest = first["high"] + 127 * between["high"]
    assert rate["low"] == pytest.approx(32 * 128 / slowest, rel=0.02)


def test_predictions_are_those_of_the_simulation_and_the_summary() -> None:
    """Half-widths are the error of step times and that of sampling, as two independent ones add up."""
    load = "concurrency 16 prompt 1024 output 128"
    found = document(load)
    simulated = json.loads(run(load, "--format", "json", command="simulate").stdout)["strategies"][0]["load"]
    compiled = dagc.compile("ep 8", model="mixtral-8x7b", cluster="h100-sxm x 8", workload=load)["main"]
    assert compiled.summary.phases
    figures = {(one["metric"], one["statistic"]): one for one in found["predicted"]}
    share = compiled.summary.phases.decode.error_share
    for statistic in ("p50", "p99"):
        one, times = figures["tpot", statistic], simulated["tpot"]
        assert one["value"] == times["percentiles_seconds"][statistic]
        # p99 was 15 % off in half of the measured runs, whatever is known of the steps.
        relative = max(share, 0.15) if statistic == "p99" else share
        wide = hypot(relative * one["value"], times["errors_seconds"][statistic] or 0.0)
        assert (one["low"], one["high"]) == pytest.approx((one["value"] - wide, one["value"] + wide))
    # Little: 16 are in flight, each for its latency.
    rate = figures["request throughput", "mean"]
    latency = figures["ttft", "mean"]["value"] + 127 * figures["tpot", "mean"]["value"]
    assert rate["value"] * latency == pytest.approx(16, rel=0.02)
    assert 1 / rate["low"] - 1 / rate["value"] == pytest.approx(1 / rate["value"] - 1 / rate["high"])


@pytest.mark.slow
def test_above_saturation_there_is_no_ttft() -> None:
    found = document("rate 500 requests/s prompt 1024 output 128 requests 500")
    assert {one["metric"] for one in found["predicted"]} == {"tpot", "output throughput", "request throughput"}
    assert any("grows without end" in text for text in found["remarks"])
    assert all(one["low"] for one in found["predicted"])


ROWS = [{"timestamp": 500 * i, "input_length": 512, "output_length": 64, "hash_ids": [i]} for i in range(40)]


def test_a_trace_of_json_lines_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    found = document('trace "day.jsonl"')
    given = options(tool("vllm", found)["commands"][0])
    assert (given["--dataset-name"], given["--dataset-path"]) == ("timed_trace", "day.jsonl")
    # Times in milliseconds; a hash stands for 512 tokens.
    assert (given["--timed-trace-sec-multiplier"], given["--timed-trace-chunk-hash-size"]) == ("0.001", "512")
    assert (
        {"--self-timed", "--disable-shuffle"} <= given.keys()
        and "--request-rate" not in given
        and given["--num-prompts"] == "40"
    )
    given = options(tool("sglang", found)["commands"][0])
    assert given["--dataset-name"] == "mooncake" and "--use-trace-timestamps" in given
    given = options(tool("aiperf", found)["commands"][0])
    assert given["--custom-dataset-type"] == "mooncake_trace" and "--fixed-schedule" in given
    assert "no arrivals" in tool("trtllm-bench", found)["refusal"]


@pytest.mark.parametrize("field", ["trace", "lengths"])
def test_files_that_no_tool_reads_are_an_error_with_a_way_out(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day.csv").write_text("arrival,prompt,output\n0,700,50\n1,800,60\n2,700,50\n", encoding="utf-8")
    done = run(f'{field} "day.csv"' + (" concurrency 8" if field == "lengths" else ""))
    assert done.exit_code == 1 and "error[N148]" in done.stderr
    assert {"trace": '"timestamp": 0', "lengths": "as ranges"}[field] in done.stderr
    # The prediction is printed nevertheless.
    assert "TPOT mean" in done.stdout and not re.search(r"^(vllm|python|trtllm|aiperf)", done.stdout, re.MULTILINE)


def test_a_tool_that_is_asked_for_and_cannot_is_an_error() -> None:
    done = run("rate 4 requests/s prompt 1024 output 128 requests 100", "--tool", "trtllm-bench")
    assert done.exit_code == 1 and "error[N148]" in done.stderr
    assert "`--tool vllm`" in done.stderr and "write `concurrency 64`" in done.stderr
    assert run("rate 4 requests/s prompt 1024 output 128 requests 100", "--tool", "vllm").exit_code == 0


def test_a_cached_share_is_a_common_prefix() -> None:
    """Half of 1,024 tokens are the prefix, the other half is drawn."""
    found = document("concurrency 8 prompt 1024 output 128 cached 50 % requests 200")
    given = options(tool("vllm", found)["commands"][0])
    assert (given["--random-prefix-len"], given["--random-input-len"]) == ("512", "512")
    given = options(tool("aiperf", found)["commands"][0])
    assert (given["--prefix-prompt-length"], given["--num-prefix-prompts"], given["--isl"]) == ("512", "1", "512")
    assert tool("sglang", found)["refusal"] and tool("trtllm-bench", found)["refusal"]


@pytest.mark.parametrize(
    ("engine", "backend", "port"), [("sglang", "sglang", 30000), ("vllm", "vllm", 8000), ("trtllm", "vllm", 8000)]
)
def test_clients_speak_to_the_engine_of_the_plan(engine: str, backend: str, port: int) -> None:
    found = document("concurrency 8 prompt 1024 output 128 requests 200", "--engine", engine)
    given = options(tool("sglang", found)["commands"][0])
    assert (given["--backend"], given["--base-url"]) == (backend, f"http://localhost:{port}")
    assert options(tool("vllm", found)["commands"][0])["--base-url"] == f"http://localhost:{port}"
    assert bool(tool("trtllm-bench", found)["refusal"]) == (engine != "trtllm")


def test_trtllm_bench_starts_the_strategy() -> None:
    found = document("concurrency 8 prompt 1024 output 128 requests 200")
    settings, made, measured = tool("trtllm-bench", found)["commands"]
    given = options(measured)
    assert (given["--tp"], given["--pp"], given["--ep"]) == ("8", "1", "8")
    assert "enable_attention_dp: true" in settings and given["--extra_llm_api_options"] in settings
    assert given["--dataset"] == options(made)["--output"]


def test_the_script_is_one_that_a_shell_reads_and_the_document_holds_to_its_schema() -> None:
    words = ("concurrency 8 prompt 819 to 1024 output 128 requests 200", "--url", "http://a b:1/'")
    done = run(*words)
    assert done.exit_code == 0
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n"], input=done.stdout, text=True, check=True)
    schema = orjson.loads(schema_file("bench").read_bytes())
    assert schema_file("bench").read_bytes() == schema_bytes("bench")
    jsonschema.Draft202012Validator(schema).validate(json.loads(run(*words, "--format", "json").stdout))


def test_strategies_by_name(tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    load = "workload { concurrency 8 prompt 512 output 64 requests 100 }"
    plan.write_text(f"model mixtral-8x7b\ncluster h100-sxm x 8\n{load}\nstrategy a = ep 8\nstrategy b = tp 8\n")
    both = CliRunner().invoke(main, ["bench", str(plan)])
    assert [line for line in both.stdout.splitlines() if line.startswith(("# a:", "# b:"))]
    only = CliRunner().invoke(main, ["bench", str(plan), "--strategy", "b", "--format", "json"])
    assert [one["name"] for one in json.loads(only.stdout)["strategies"]] == ["b"]
    assert CliRunner().invoke(main, ["bench", str(plan), "--strategy", "c"]).exit_code == 2


def test_requests_that_a_trace_does_not_have_are_said_to_be_missing() -> None:
    column = np.arange(4, dtype=np.int32) + 1
    trace = RequestTrace("day.jsonl", "", column.astype(np.int64), column, column, True)
    workload = Workload(4, 2, 2, concurrency=4, requests_per_second=1.0, trace=trace)
    run_of = tool_run("vllm", asked(workload))
    assert "the trace is not repeated: it has 4 requests" in run_of.differs


def test_without_a_prediction_there_are_commands_and_what_is_missing() -> None:
    words = ["-e", "ep 8", "--model", "mine { layers 16 experts 8 { top 2 } }", "--workload", "concurrency 16"]
    done = CliRunner().invoke(main, ["bench", *words, "--tool", "vllm"])
    assert done.exit_code == 0
    assert "no prediction: it is undetermined without" in done.stdout and "hidden" in done.stdout
    assert options(done.stdout[done.stdout.index("vllm bench serve --") :])["--model"] == "$MODEL"
    assert '--model "$MODEL"' in done.stdout


def test_what_does_not_fit_has_no_benchmark() -> None:
    words = ["-e", "ep 8", "--model", "deepseek-v3", "--cluster", "h100-sxm x 8", "--workload", "concurrency 16"]
    done = CliRunner().invoke(main, ["bench", *words])
    assert done.exit_code == 1 and done.stdout == "" and "error[" in done.stderr
