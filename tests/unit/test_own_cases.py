"""`dagc validate --cases`: a user's own measurements, and rows that have no answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagc.cli.validate import validate

HEAD = "id,kind,model,cluster,workload,strategy,metric,measured\n"
GOOD = "one,serving,llama-3.1-8b,h100-sxm x 1,batch 1 prompt 128 output 8,tp 1,tpot,5 ms\n"


def run(tmp_path: Path, text: str, *arguments: str) -> Result:
    table = tmp_path / "own.csv"
    table.write_text(text)
    return CliRunner().invoke(validate, ["--cases", str(table), *arguments])


def test_a_case_of_ones_own_is_predicted(tmp_path: Path) -> None:
    """Weights of 8 billion parameters, two bytes each, at 3.35 TB/s take 4.8 ms: the step is within a third of 5 ms."""
    result = run(tmp_path, HEAD + GOOD, "--format", "json")
    assert result.exit_code == 0
    (case,) = json.loads(result.stdout)["cases"]
    assert (case["id"], case["measured"]) == ("one", 0.005)
    assert abs(case["error"]) < 1 / 3
    assert 0 < case["interval"]["low_80"] <= case["predicted"] <= case["interval"]["high_80"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace("5 ms", "5"), "not a number with a unit"),
        (GOOD.replace("5 ms", "0 ms"), "not a positive number"),
        (GOOD.replace("5 ms", "x ms"), "could not convert"),
        (GOOD.replace("llama-3.1-8b", "llama-9"), "llama-9"),
        (GOOD.replace("tpot", "decode moe.experts.up"), "nothing in its plan has"),
        (GOOD.replace("tpot", "ttft").replace("batch 1", "concurrency 1"), "nothing in its plan has `ttft`"),
        (GOOD.replace("tpot", "request").replace("batch 1", "concurrency 1"), "nothing in its plan has `request`"),
    ],
)
def test_a_row_without_an_answer_is_named_and_the_others_are_answered(tmp_path: Path, row: str, said: str) -> None:
    result = run(tmp_path, HEAD + GOOD.replace("one", "two") + row)
    assert result.exit_code == 2
    assert "error[X403]" in result.stderr and said in result.stderr
    assert "own.csv:3" in result.stderr
    assert "two" in result.stdout


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "id,kind\n")
    assert result.exit_code == 2
    assert "needs a column `model`" in result.stderr


def test_a_table_that_is_not_there_is_a_diagnostic(tmp_path: Path) -> None:
    result = CliRunner().invoke(validate, ["--cases", str(tmp_path / "none.csv")])
    assert result.exit_code == 2
    assert "X001" in result.stderr
