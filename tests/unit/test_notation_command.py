"""`dagc read` on the command line: text, JSON, sizes, facts, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["read", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_all_four_countings_of_one_notation_are_shown() -> None:
    """64 GPUs in vLLM, 8 in SGLang and TensorRT-LLM, and the product 8 × 8 × 8 = 512."""
    result = run("tp 8, dp 8, ep 8")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "vLLM 64 GPUs, reading 2" in lines
    assert "ep is a switch without a degree: ep 8 becomes tp × pcp × dp = 64" in lines
    assert "SGLang 8 GPUs, reading 1" in lines
    assert "TensorRT-LLM 8 GPUs, reading 1" in lines
    assert "multiplying every degree: tp 8 × dp 8 × ep 8 = 512" in lines
    assert "no engine counts so; of this size: reading 5" in lines


def test_json_has_sizes_domains_and_engines() -> None:
    found = document("tp 8, dp 8, ep 8")
    assert found["naive_product"] == 512
    for engine, gpus in {"vllm": 64, "sglang": 8, "trtllm": 8, "megatron": 64}.items():
        assert found["engines"][engine]["gpus"] == gpus
    first = found["readings"][0]
    assert (first["strategy"], first["gpus"], first["engines"]) == ("ep 8", 8, ["sglang", "trtllm"])
    assert first["derivation"] == ["`ep 8`: 8 GPUs"]
    assert first["domains"]["attention"] == {"tp": 1, "cp": 1, "dp": 8, "implied": {"dp": 8}}
    assert first["domains"]["experts"] == {"tp": 1, "ep": 8, "dp": 1, "implied": {}}


def test_readings_of_one_size() -> None:
    found = document("TP2-EP4-PP2-DP2", "--gpus", "16")
    assert [reading["number"] for reading in found["readings"]] == [2, 4]
    assert {reading["gpus"] for reading in found["readings"]} == {16}
    assert "4 readings, 0 of them with 17 GPUs" in run("TP2-EP4-PP2-DP2", "--gpus", "17").output


def test_a_model_and_a_cluster_judge_the_readings() -> None:
    """Mixtral has 8 experts: ep 64 is too many. 512 GPUs are too many for 64."""
    found = document("tp 8, dp 8, ep 8", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 64")
    errors = {
        reading["strategy"]: [d["code"] for d in reading["diagnostics"] if d["severity"] == "error"]
        for reading in found["readings"]
    }
    assert errors["ep 8"] == []
    assert errors["ep 64 ; tp 8"] == ["D203"]
    assert errors["dp 8 < ep 8 < tp 8 > >"] == ["G101"]


def test_flags_need_no_quotes(tmp_path: Path) -> None:
    """The words of a command line may be given one by one."""
    first = document("-tp", "2", "-dp", "8", "--enable-expert-parallel")["readings"][0]
    assert (first["strategy"], first["engines"]) == ("ep 16 ; tp 2", ["vllm"])


def test_an_engine_may_be_named() -> None:
    """`--tensor-parallel-size` is a flag of vLLM and of SGLang, which makes copies of dp."""
    flags = "--tensor-parallel-size 4 --data-parallel-size 2"
    assert document(flags)["readings"][0]["strategy"] == "moe < tp 8 > ; tp 4"
    assert document("--engine", "sglang", flags)["readings"][0]["strategy"] == "dp 2 < tp 4 >"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tp 2 zz"], "N145"),
        ([""], "N145"),
        (["tp 2 tp 4"], "N146"),
        (["tp 2", "--model", "mixtrl"], "N110"),
        (["tp 2", "--model", "{"], "S002"),
    ],
)
def test_what_is_refused_is_a_diagnostic(arguments: list[str], code: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"error[{code}]" in result.stderr
    assert result.stdout == ""
    shown = json.loads(run(*arguments, "--format", "json").stdout)
    assert code in [d["code"] for d in shown["diagnostics"]]
    assert shown["readings"] == []
