"""The plan that a search recommends: it compiles where it is written, and states what was searched under."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import dagc
from dagc.cli.main import main
from tests.harness.places import ROOT
from tests.unit.search_plans import MODEL, STRATEGIES

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 4096,
    "vocab_size": 32000,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
CALIBRATION = ROOT / "dagc" / "catalog" / "calibrations" / "h100-sxm.json"
CLUSTER = "cluster h100-sxm x 2\n"


def _search(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["search", "--workers", "1", *map(str, arguments)])


def _best(directory: Path, plan: Path, *options: str) -> tuple[str, dagc.Plan]:
    """The recommended plan of a search, and what compiling its file gives."""
    found = _search(plan, "-o", directory, *options)
    assert found.exit_code == 0, found.output
    path = directory / plan.stem / "search" / "best.moe"
    compiled = dagc.compile(path)
    assert not [one for one in compiled.diagnostics if one.is_error], str(compiled)
    return path.read_text(), compiled


@pytest.mark.parametrize(
    ("workload", "written"),
    [
        ("workload { batch 1e2    prompt 128    output 16 }", "workload { batch 8    prompt 128    output 16 }"),
        ("workload { batch 1 K    prompt 128    output 16 }", "workload { batch 8    prompt 128    output 16 }"),
        ("workload { prompt 128    output 16 }", "workload { batch 8    prompt 128    output 16 }"),
        (
            "workload {\n    batch 64  # batch 3 is too small\n    prompt 128    output 16\n}",
            "workload {\n    batch 8  # batch 3 is too small\n    prompt 128    output 16\n}",
        ),
        (
            "workload { concurrency 64    prompt 128    output 16 }",
            "workload { concurrency 8    prompt 128    output 16 }",
        ),
        ("workload { }", "workload { batch 8 }"),
        ("", "workload { batch 8 }"),
    ],
)
def test_another_batch_is_written_where_the_workload_states_one(tmp_path: Path, workload: str, written: str) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text(f"{MODEL}{CLUSTER}{workload}\n{STRATEGIES}")
    text, compiled = _best(tmp_path / "out", plan, "--batch", "8")
    assert f"{written}\n" in text and text.count("workload") == 1
    assert compiled["best"].checked.plan.facts.workload.batch == 8


def test_options_are_written_as_blocks(tmp_path: Path) -> None:
    """An option may leave the braces out; a plan may not."""
    plan = tmp_path / "plan.moe"
    plan.write_text(f"{MODEL}{CLUSTER}{STRATEGIES}")
    options = ("--workload", "batch 64    prompt 128    output 16", "--require", "tpot <= 1 s", "--batch", "8")
    text, compiled = _best(tmp_path / "out", plan, *options)
    assert "workload { batch 8    prompt 128    output 16 }\n" in text and "require { tpot <= 1 s }\n" in text
    assert compiled["best"].summary.requirements[0].ok


@pytest.mark.parametrize("is_absolute", [False, True])
def test_paths_lead_from_where_the_plan_is_written(tmp_path: Path, is_absolute: bool) -> None:
    """A configuration beside the plan that is read, and a calibration below it."""
    home = tmp_path / "plans"
    (home / "fits").mkdir(parents=True)
    (home / "config.json").write_text(json.dumps(CONFIG))
    (home / "fits" / "f.json").write_bytes(CALIBRATION.read_bytes())
    start = f"{home}/" if is_absolute else ""
    plan = home / "plan.moe"
    plan.write_text(
        f'model "{start}config.json"\n'
        f'cluster h100-sxm x 2 {{ device {{ calibration "{start}fits/f.json" }} }}\n'
        f"workload {{ batch 8    prompt 128    output 16 }}\n{STRATEGIES.replace('ep 4', 'tp 2')}"
    )
    text, compiled = _best(tmp_path / "elsewhere" / "out", plan)
    assert compiled["best"].summary.phases is not None
    assert ("../../../../plans/config.json" in text) != is_absolute


def test_a_path_of_an_option_starts_at_the_plan_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    plan = tmp_path / "plan.moe"
    plan.write_text(f"{CLUSTER}workload {{ batch 8    prompt 128    output 16 }}\nstrategy main = tp 2\n")
    text, _ = _best(tmp_path / "out", plan, "--model", '"config.json"')
    assert 'model "../../../config.json"\n' in text
