"""`dagc launch`. The flags of the vectors are those of each engine's own guide, written by hand."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dagc.cli.launch import launch
from dagc.engines.registry import engine_names

FOLD = "pp 4 < ep 16 ; tp 2 >"
DEEPSEEK = ("--model", "deepseek-v3", "--cluster", "h100-sxm x 64")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(launch, arguments)


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        (
            "vllm",
            "--tensor-parallel-size 2 --data-parallel-size 8 --pipeline-parallel-size 4 --enable-expert-parallel",
        ),
        ("sglang", "--tp-size 16 --dp-size 8 --enable-dp-attention --ep-size 16 --pp-size 4"),
    ],
)
def test_the_flags_of_a_fold(engine: str, flags: str) -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--engine", engine, "--format", "json")
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout)["launches"]
    assert found["expressible"]
    assert " ".join(found["services"][0]["flags"]) == flags
    assert "deepseek-ai/DeepSeek-V3" in found["services"][0]["command"]


def test_what_is_not_expressible_has_a_reason_and_the_nearest() -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--engine", "trtllm")
    assert result.exit_code == 1
    assert "not expressible: attention is all tp or all dp, and tp 2 × dp 8 is something between" in result.stdout
    assert "the nearest that TensorRT-LLM has is `pp 4 < ep 16 >`" in result.stdout


def test_vllm_has_no_ep_2_on_tp_8() -> None:
    result = run("-e", "ep 2 < tp 4 > ; tp 8", "--engine", "vllm")
    assert result.exit_code == 1
    assert "`tp 8`" in result.stdout


def test_without_an_engine_all_are_shown_and_nothing_fails() -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--format", "json")
    assert result.exit_code == 0
    found = {one["engine"]["name"]: one["expressible"] for one in json.loads(result.stdout)["launches"]}
    assert tuple(found) == engine_names()
    assert {name: found[name] for name in ("vllm", "sglang", "trtllm", "megatron")} == {
        "vllm": True, "sglang": True, "trtllm": False, "megatron": False,
    }  # fmt: skip


def test_phases_have_their_own_commands_and_counts() -> None:
    text = "prefill < dp 3 < ep 8 ; tp 4 > > | decode < ep 32 [redundant 32] >"
    result = run("-e", text, "--model", "deepseek-v3", "--engine", "sglang", "--format", "json")
    services = json.loads(result.stdout)["launches"][0]["services"]
    assert [(s["phase"], s["instances"], s["gpus_per_instance"]) for s in services] == [
        ("prefill", 3, 8),
        ("decode", 1, 32),
    ]
    assert "--disaggregation-mode prefill" in services[0]["command"]
    assert "--ep-num-redundant-experts 32" in services[1]["command"]
    assert services[1]["nodes_per_instance"] == 4


def test_written_layers_become_what_each_engine_takes() -> None:
    text = "pp 4 [layers 16 15 15 15] < ep 8 ; tp 8 [sp] >"
    lines = {
        engine: json.loads(run("-e", text, "--model", "deepseek-v3", "--engine", engine, "--format", "json").stdout)
        for engine in ("vllm", "sglang", "megatron")
    }
    commands = {engine: found["launches"][0]["services"][0]["command"] for engine, found in lines.items()}
    assert commands["vllm"].startswith("VLLM_PP_LAYER_PARTITION=16,15,15,15 vllm serve")
    assert commands["sglang"].startswith("SGLANG_PP_LAYER_PARTITION=16,15,15,15 ")
    assert "--decoder-first-pipeline-num-layers 16 --decoder-last-pipeline-num-layers 15" in commands["megatron"]
    assert "--sequence-parallel" in commands["megatron"]


def test_redundant_experts_stand_in_tensorrts_settings_file() -> None:
    result = run("-e", "ep 32 [redundant 32]", "--model", "deepseek-v3", "--engine", "trtllm", "--format", "json")
    service = json.loads(result.stdout)["launches"][0]["services"][0]
    assert "    num_slots: 288" in service["settings_file"]
    assert service["command"].startswith("printf '")


def test_a_version_and_its_sources() -> None:
    result = run("-e", "tp 8", "--engine", "vllm@0.11.0", "--format", "json")
    engine = json.loads(result.stdout)["launches"][0]["engine"]
    assert engine["version"] == "0.11.0"
    assert all(url.startswith("https://github.com/vllm-project/vllm/blob/") for url in engine["sources"])


def test_one_strategy_of_a_plan() -> None:
    text = "strategy a = tp 8\nstrategy b = ep 8\n"
    found = CliRunner().invoke(launch, ["-", "--engine", "vllm", "--strategy", "b"], input=text)
    assert found.stdout.startswith("b: ep 8, 8 GPUs, vLLM")
    missing = CliRunner().invoke(launch, ["-", "--engine", "vllm", "--strategy", "c"], input=text)
    assert missing.exit_code == 2


def test_a_plan_with_errors_has_no_flags() -> None:
    result = run("-e", "tp 2 < ep 4 >", "--engine", "vllm")
    assert result.exit_code == 1
    assert result.stdout == ""


def test_a_wrong_degree_is_no_matter_of_engines() -> None:
    """Llama 3.1 70B has 64 heads."""
    result = run("-e", "tp 48", "--model", "llama-3.1-70b", "--engine", "vllm")
    assert result.exit_code == 1
    assert "D301" in result.stderr


def test_a_model_that_nobody_publishes_is_left_open() -> None:
    result = run("-e", "ep 8", "--model", "m { experts 16 { top 2 } }", "--engine", "vllm")
    assert 'vllm serve "$MODEL"' in result.stdout


@pytest.mark.parametrize(
    ("engine", "written", "flags"),
    [
        ("vllm", "deepep", "--all2all-backend deepep_high_throughput"),
        ("vllm", "gather", "--all2all-backend allgather_reducescatter"),
        ("sglang", "deepep", "--moe-a2a-backend deepep"),
        ("sglang", "gather", ""),
    ],
)
def test_a_written_exchange_has_its_flag(engine: str, written: str, flags: str) -> None:
    result = run("-e", f"ep 8 [exchange {written}]", "--model", "deepseek-v3", "--engine", engine)
    assert result.exit_code == 0
    assert flags in result.stdout
    assert flags or "a2a" not in result.stdout


def test_attention_dp_of_tensorrt_llm_waits_for_all_ranks_unless_told_not_to() -> None:
    for engine, word in (("trtllm", "true"), ("trtllm { enable_balance no }", "false")):
        result = run("-e", "ep 8", "--model", "deepseek-v3", "--engine", engine)
        assert f"enable_balance: {word}" in result.stdout
    assert "enable_balance" not in run("-e", "tp 8", "--model", "deepseek-v3", "--engine", "trtllm").stdout


def test_tensorrt_llm_chooses_its_exchange_itself() -> None:
    result = run("-e", "ep 8 [exchange gather]", "--model", "deepseek-v3", "--engine", "trtllm")
    assert "`[exchange]`" in result.stdout + result.stderr


def test_overlap_brings_its_kernels() -> None:
    """Both engines refuse it on their default all-to-all."""
    for engine, flags in (
        ("vllm", "--enable-dbo --all2all-backend deepep_high_throughput"),
        ("sglang", "--enable-two-batch-overlap --moe-a2a-backend deepep"),
    ):
        result = run("-e", "ep 8 [overlap 2]", "--model", "deepseek-v3", "--engine", engine)
        assert flags in result.stdout
