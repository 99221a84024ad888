"""Tables of measured serving runs: rows become plans, and what makes no sense is refused with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagc.catalog.serving_benchmark import BenchmarkRow, cache_dtype
from dagc.catalog.serving_runs import ServingRun, WorkerDegrees
from dagc.cli.validate import validate
from dagc.driver.serving_table import read_serving
from dagc.source import Source

HEAD = (
    "id,backend,backend_version,model_path,system,precision,isl,osl,silicon_concurrency,batch_size,tp_size,adp,"
    "moe_tp_size,moe_ep_size,silicon_tpot_ms,suspect\n"
)
ROW = "a,vllm,0.19.0,MiniMaxAI/MiniMax-M2.5,b200_sxm,fp8,1024,512,16.0,16,2,2,1.0,4.0,12.5,\n"
OF_TP = "a,vllm,0.19.0,MiniMaxAI/MiniMax-M2.5,b200_sxm,fp8,1024,512,16.0,16,2,1,2.0,1.0,12.5,\n"
BENCHMARK = (
    "hardware,framework,model,precision,prefill_tp,prefill_ep,prefill_dp_attention,isl,osl,conc,date,"
    "median_ttft,median_tpot,median_itl,disagg,prefill_num_workers,decode_tp,decode_ep,decode_dp_attention,"
    "decode_num_workers,num_prefill_gpu,num_decode_gpu\n"
)
NODE = "h200,sglang,dsr1,fp8,8,1,False,1024,512,4,2026-05-17,0.1,0.01,0.01,False,,,,,,,\n"
POOLS = "h200,dynamo-trt,dsr1,fp8,8,8,False,8192,1024,32,2026-03-01,0.1,0.01,0.01,True,2,8,8,True,3,16,24\n"


def runs(text: str) -> tuple[ServingRun, ...]:
    return read_serving([Source("runs.csv", text)]).runs


def test_a_row_of_silicon_is_a_plan() -> None:
    (run,) = runs(HEAD + ROW)
    assert run.plan == (
        "model minimax-m2.5 { dtype fp8 }\ncluster b200-sxm x 4\nengine vllm\n"
        "workload { concurrency 16 prompt 1024 output 512 }\nstrategy main = ep 4 ; tp 2\n"
    )
    assert (run.tpot_seconds, run.kind, run.group) == (0.0125, "attention dp", "MiniMax-M2.5 b200-sxm vllm")


def test_rows_of_the_benchmark_have_lengths_from_four_fifths_on() -> None:
    """Its ids end in a number of a configuration, or begin with a day: 0.8 x 1024 = 819.2, 0.8 x 512 = 409.6."""
    for name in ("m_c16_cfg7", "2026-04-01_m", "m_gap_analysis_m_c16"):
        (run,) = runs(HEAD + OF_TP.replace("a,", f"{name},", 1))
        assert "prompt 819 to 1024 output 409 to 512" in run.plan


def test_a_run_that_a_table_has_twice_is_one() -> None:
    """12.504 and 12.5 ms are one figure to two decimals; 12.51 ms is another run."""
    rows = "".join(OF_TP.replace("12.5,", f"{tpot},") for tpot in ("12.504", "12.5", "12.51"))
    assert [one.tpot_seconds for one in runs(HEAD + rows)] == pytest.approx([0.012504, 0.01251])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("a,", "m_c16_cfg7,", 1), "expert parallelism and attention dp of the run are not those"),
        ("q_cfg1,sglang,0.5.9,Qwen/Qwen3.5-397B-A17B,b200_sxm,fp8,1024,1024,8,8,4,1,4,1,6.1,\n", "speculative"),
        ("2026_03_25_d,sglang,0.5.9,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,8192,1024,8,8,8,1,8,1,6.8,\n", "speculative"),
    ],
)  # fmt: skip
def test_what_the_benchmark_ran_otherwise_than_its_row_says_is_not_scored(row: str, reason: str) -> None:
    """Its scripts of those days have drafts, or one width of tp or attention dp."""
    found = read_serving([Source("runs.csv", HEAD + row)])
    assert not found.runs
    assert found.unplanned[0].startswith(reason)
    other = read_serving([Source("runs.csv", HEAD + row.replace("0.5.9", "0.5.12"))])
    assert bool(other.runs) == ("cfg7" not in row)


@pytest.mark.parametrize(("version", "strategy"), [("0.17.0", "ep 2 ; tp 2"), ("0.18.0", "tp 2")])
def test_experts_are_split_as_the_script_did(version: str, strategy: str) -> None:
    """`--enable-expert-parallel` was passed from an ep of 1 on."""
    row = f"m_cfg2,vllm,{version},MiniMaxAI/MiniMax-M2.5,b200_sxm,fp8,1024,1024,8,8,2,1,2,1,12.4,\n"
    (run,) = runs(HEAD + row)
    assert f"strategy main = {strategy}\n" in run.plan


def test_repeats_of_a_benchmark_row_are_one_run_of_their_median() -> None:
    found = runs(BENCHMARK + NODE + NODE.replace("0.1,0.01", "0.1,0.03") + NODE.replace("0.1,0.01", "0.1,0.02"))
    assert [(one.repeats, one.tpot_seconds, one.strategy) for one in found] == [(3, 0.02, "tp 8")]


def test_pools_are_workers_of_both_phases() -> None:
    (run,) = runs(BENCHMARK + POOLS)
    assert run.strategy == "prefill < dp 2 < ep 8 ; tp 8 > > | decode < dp 3 < ep 8 > >"
    assert (run.gpus, run.plan_engine, run.kind) == (40, "trtllm", "separate pools")


@pytest.mark.parametrize(
    ("worker", "strategy", "kind"),
    [
        (WorkerDegrees(1), "tp 1", "one GPU"),
        (WorkerDegrees(8), "tp 8", "tp"),
        (WorkerDegrees(4, 1, 4), "ep 4 ; tp 4", "ep"),
        (WorkerDegrees(1, 8, 8), "ep 8", "attention dp"),
        (WorkerDegrees(1, 4, 1), "moe < tp 4 > ; dp 4", "attention dp"),
    ],
)
def test_degrees_have_words(worker: WorkerDegrees, strategy: str, kind: str) -> None:
    assert (worker.strategy, worker.kind) == (strategy, kind)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("MiniMaxAI/MiniMax-M2.5", "someone/else"), "no model `someone/else` in fp8"),
        (ROW.replace("b200_sxm", "tpu"), "no device `tpu`"),
        (ROW.replace("vllm", "llamacpp"), "no engine `llamacpp`"),
        (ROW.replace("2,2,1.0,4.0", "8,1,2.0,4.0"), "experts by ep and tp at once"),
    ],
)
def test_rows_that_no_plan_describes_are_counted_by_reason(row: str, reason: str) -> None:
    table = read_serving([Source("runs.csv", HEAD + ROW + row)])
    assert (len(table.runs), table.unplanned, table.problems) == (1, (reason,), ())


def command(tmp_path: Path, kind: str, text: str, *options: str) -> Result:
    table = tmp_path / "runs.csv"
    table.write_text(text)
    return CliRunner().invoke(validate, [kind, str(table), "--workers", "1", *options])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a column `hardware`"),
        (HEAD, "has no row"),
        (BENCHMARK, "has no row"),
        ("model_path,system\n", "needs a column `backend` and `precision`"),
        (HEAD + ROW.replace("1024", "-4"), "`isl` is `-4`"),
        (HEAD + ROW.replace("16.0", "0.5"), "`silicon_concurrency` is `0.5`"),
        (HEAD + ROW.replace("2,2,", "-2,2,"), "`tp_size` is `-2`"),
        (HEAD + ROW.replace("12.5", "-1"), "`silicon_tpot_ms` is `-1`"),
        (HEAD + ROW.replace("12.5", "inf"), "`silicon_tpot_ms` is `inf`"),
        (HEAD + ROW.replace("MiniMaxAI", "someone"), "no row of the tables has a prediction: no model `someone/"),
        (BENCHMARK + NODE.replace("dsr1", "gpt4"), "no model `gpt4` in fp8"),
    ],
)
@pytest.mark.parametrize("kind", ["serving", "order", "coverage"])
def test_a_bad_table_is_refused_with_a_reason(tmp_path: Path, kind: str, text: str, said: str) -> None:
    result = command(tmp_path, kind, text)
    assert result.exit_code == 2
    assert "error[X404]" in result.stderr and said in result.stderr and result.stdout == ""


def test_errors_are_counted_by_run_and_by_group(tmp_path: Path) -> None:
    """Two runs of one group and one of another: suspect ones apart, the worst group last."""
    text = HEAD + ROW + ROW.replace("16.0,16", "32.0,32") + ROW.replace("b200_sxm", "h100_sxm")
    text += ROW.replace("12.5,", "12.5,drafts?") + ROW.replace("MiniMaxAI", "someone")
    result = command(tmp_path, "serving", text, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    totals = {one["name"].strip(): one for one in found["totals"]}
    assert [totals[name]["runs"] for name in ("one node", "suspect rows, not counted above")] == [3, 1]
    assert totals["one node"]["groups"] == 2
    medians = [one["median"] for one in found["groups"]]
    assert medians == sorted(medians)
    assert found["unscored"] == [{"reason": "no model `someone/MiniMax-M2.5` in fp8", "rows": 1}]
    errors = sorted(abs(one["error"]) for one in found["runs"] if not one["suspect"])
    assert totals["one node"]["median"] == errors[1]


def test_cells_of_a_table_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    result = command(tmp_path, "serving", HEAD + ROW + ROW.replace("b200_sxm", "b200\x1b[31m"))
    assert result.exit_code == 0 and "\x1b" not in result.output and "no device" in result.stdout
    result = command(tmp_path, "order", HEAD + ROW, "--without", "a\x1b[31mb")
    assert "\x1b" not in result.output


def test_a_single_run_is_judged_by_nothing(tmp_path: Path) -> None:
    """One half of configurations is empty, so that no interval is set, and there is no pair to put in order."""
    for kind in ("coverage", "order"):
        result = command(tmp_path, kind, HEAD + ROW)
        assert result.exit_code == 0, result.stderr


def test_files_are_asked_for_where_a_kind_needs_them() -> None:
    for kind in ("order", "coverage", "load"):
        result = CliRunner().invoke(validate, [kind])
        assert result.exit_code == 2 and f"dagc validate {kind} runs.csv" in result.stderr
    assert CliRunner().invoke(validate, ["memory", "runs.csv"]).exit_code == 2


OF_DEEPSEEK = "{name},{engine},{version},deepseek-ai/DeepSeek-R1,{gpu},{precision},1024,512,16,16,8,1,8,1,12.5,\n"


@pytest.mark.parametrize(
    ("row", "model"),
    [
        (OF_TP.replace("a,", "m_c16_cfg7,", 1), "minimax-m2.5 { dtype fp8 kv_dtype fp8 }"),
        (OF_TP.replace("a,", "m_c16_cfg7,", 1).replace("0.19.0", "0.18.0"), "minimax-m2.5 { dtype fp8 }"),
        (OF_TP, "minimax-m2.5 { dtype fp8 }"),
        (
            OF_DEEPSEEK.format(name="2026-01-29_m", engine="trtllm", version="1.2", gpu="b200_sxm", precision="fp8"),
            "deepseek-r1 { kv_dtype fp8 }",
        ),
        (
            OF_DEEPSEEK.format(name="2026-01-29_m", engine="sglang", version="0.5", gpu="h200_sxm", precision="fp8"),
            "deepseek-r1 { kv_dtype bf16 }",
        ),
        (
            OF_DEEPSEEK.format(name="2026-01-29_m", engine="trtllm", version="1.2", gpu="b200_sxm", precision="fp4"),
            "deepseek-r1 { dtype bf16 expert_dtype fp4 kv_dtype fp8 }",
        ),
    ],
)
def test_the_cache_is_what_the_script_of_the_day_stores(row: str, model: str) -> None:
    """And as the model says where no script is known, or where the row is not of the benchmark."""
    (run,) = runs(HEAD + row)
    assert run.model_text == model


def test_a_type_of_cache_that_changed_with_the_day_needs_one() -> None:
    """MI300X stored bf16 until 2026-01-22 and fp8 from then on. Of repeats the cache of most is taken."""
    mi300x = NODE.replace("h200", "mi300x")
    rows = [mi300x.replace("2026-05-17", day) for day in ("2026-01-01", "2026-01-02", "2026-05-17")]
    assert [run.model_text for run in runs(BENCHMARK + rows[0])] == ["deepseek-v3 { kv_dtype bf16 }"]
    assert [run.model_text for run in runs(BENCHMARK + rows[2])] == ["deepseek-v3 { kv_dtype fp8 }"]
    (run,) = runs(BENCHMARK + "".join(rows))
    assert (run.model_text, run.repeats) == ("deepseek-v3 { kv_dtype bf16 }", 3)
    row = BenchmarkRow("mi300x", "sglang", "fp8", 8, 1, False, 1024, 512, 4, "")
    assert cache_dtype(row) == "" and cache_dtype(replace(row, date="2026-05-17")) == "fp8"


def test_runs_of_tensorrt_llm_before_images_were_stated_are_not_scored() -> None:
    old = OF_DEEPSEEK.format(name="m_c16_cfg7", engine="trtllm", version="", gpu="b200_sxm", precision="fp4")
    new = old.replace("trtllm,,", "trtllm,1.2.0rc6.post2,")
    found = read_serving([Source("runs.csv", HEAD + old + new)])
    assert [run.version for run in found.runs] == ["1.2.0rc6.post2"]
    assert found.unplanned == ("expert parallelism and attention dp of the run are not those of the table",)


def test_a_sweep_whose_prompts_no_gpu_can_compute_is_scored_apart() -> None:
    """64 x 2,000 tokens x 2 x 8.03 G / 1.979 PFLOP/s are 1.04 s, of the 1.10 s that 64 requests took from end to end,
    in which 100 steps read 64 x 2,050 tokens x 131,072 bytes at 4.8 TB/s besides: 0.36 s.
    """
    row = "a,vllm,{version},nvidia/Llama-3.1-8B-Instruct-FP8,h200_sxm,fp8,2000,100,64,64,1,1,1,1,9.74,\n"
    (run,) = runs(HEAD + row.format(version="0.12.0"))
    assert run.suspect.startswith("prompts need more arithmetic than the GPU has")
    assert not runs(HEAD + row.format(version="0.13.0"))[0].suspect
    assert 64 * 2000 * 2 * 8.03e9 / 1.979e15 + 100 * 64 * 2050 * 131072 / 4.8e12 > 0.12173 + 100 * 0.00974


def test_a_median_over_versions_is_compared_with_runs_of_its_newest() -> None:
    """The month is the version where no image is stated."""
    days = [NODE.replace("2026-05-17", day).replace("0.1,0.01", f"0.1,{tpot}") for day, tpot in (
        ("2026-05-18", "0.01"), ("2025-11-10", "0.03"),
    )]  # fmt: skip
    (run,) = runs(BENCHMARK + "".join(days))
    assert (run.tpot_seconds, run.version) == (0.02, "2026-05")
    assert runs(BENCHMARK + days[1])[0].version == "2025-11"
