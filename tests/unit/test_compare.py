"""`dagc compare`: the table, its marks and verdicts, where plans differ, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import html5lib
import jsonschema
import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main
from dagc.export.records import schema_bytes, schema_file
from dagc.graph.graph import Team
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.plan.deployment import Phase
from dagc.results.comparison import ComparedFigure, Comparison, Subject, compare
from dagc.results.metrics import cost_of, measure
from tests.harness.records import read_record
from tests.unit.results_plans import plan
from tests.unit.test_check_priced import memory
from tests.unit.test_results_metrics import timeline

TEXT = """model mixtral-8x7b
cluster h100-sxm x 16 { price 2.5 USD/h }
workload { batch 32    prompt 256    output 32 }
require { gpus <= 8    memory <= 80 GB }
strategy wide = ep 8
strategy deep = pp 4 < tp 2 >
strategy two = dp 2 < ep 8 >
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "plan.moe"
    path.write_text(TEXT, encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def document(*arguments: object) -> Comparison:
    return read_record(Comparison, run(*arguments, "--format", "json").stdout)


def figure(comparison: Comparison, name: str) -> ComparedFigure:
    return next(one for one in comparison.figures if one.name == name)


def test_the_published_schema_is_that_of_the_models() -> None:
    """When this fails, a model has changed: `python -m dagc.export.records` writes the schema anew."""
    assert schema_file("comparison").read_bytes() == schema_bytes("comparison")


def test_the_document_validates(path: Path) -> None:
    printed = json.loads(run(path, "--format", "json").stdout)
    jsonschema.Draft202012Validator(orjson.loads(schema_file("comparison").read_bytes())).validate(printed)


def test_gpus_their_verdict_and_what_they_cost(path: Path) -> None:
    """8, 8 and 2 × 8 GPUs, of which the requirement allows 8, at 2.5 USD each: 20, 20 and 40 USD an hour."""
    found = document(path)
    assert [plan.title for plan in found.plans] == ["wide", "deep", "two"]
    gpus = figure(found, "gpus")
    assert [one.value for one in gpus.values] == [8, 8, 16]
    assert [one.ok for one in gpus.values] == [True, True, False]
    assert [one.is_best for one in gpus.values] == [True, True, False]
    assert [one.difference for one in gpus.values] == [0, 0, 1]
    assert [one.value for one in figure(found, "cost_per_hour").values] == pytest.approx([20, 20, 40])
    assert [plan.requirements_met for plan in found.plans] == [True, True, False]


def test_figures_are_those_of_the_summary(path: Path, tmp_path: Path) -> None:
    CliRunner().invoke(main, ["compile", str(path), "-o", str(tmp_path / "out")])
    found = document(path)
    for index, name in enumerate(("wide", "deep", "two")):
        summary = json.loads((tmp_path / "out" / "plan" / name / "summary.json").read_text(encoding="utf-8"))
        assert figure(found, "ttft").values[index].value == summary["phases"]["prefill"]["seconds"]
        assert figure(found, "tpot").values[index].value == summary["phases"]["decode"]["seconds"]
        assert figure(found, "memory").values[index].value == summary["memory"]["per_rank_max_bytes"]
        rate = summary["throughput"]["output_tokens_per_second"]
        assert figure(found, "throughput").values[index].value == rate
        dollars = 2.5 / 3600 * summary["gpus"] / rate * 1e6
        assert figure(found, "cost_per_million_output_tokens").values[index].value == pytest.approx(dollars)


def test_plans_differ_axis_by_axis(path: Path) -> None:
    """`ep 8` is attention dp 8; `pp 4 < tp 2 >` has stages of two GPUs, and cuts 32 layers into four times 8."""
    rows = {one.what: one.values for one in document(path, "--strategy", "wide", "--strategy", "deep").differences}
    assert rows["stages"] == ["1", "4"]
    assert rows["layers"] == ["32", "8 8 8 8"]
    assert rows["attention dp"] == ["8", "1"]
    assert rows["experts ep"] == ["8", "1"]
    assert rows["experts tp"] == ["1", "2"]
    assert "GPUs" not in rows
    assert "moe.dispatch: all-to-all of 8 over 1 node" in rows["prefill messages"][0]


def test_facts_that_differ_are_told(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.moe"
    other.write_text(TEXT.replace("batch 32", "batch 64"), encoding="utf-8")
    found = document(path, other, "--strategy", "wide")
    assert [plan.title for plan in found.plans] == ["plan", "other"]
    assert {one.what: one.values for one in found.differences}["workload.batch"] == ["32", "64"]


def test_the_text_lists_inputs_apart_from_decisions(path: Path, tmp_path: Path) -> None:
    """Quantities have units: an H100 has 80 GB and 3.35 TB/s, an H200 141 GB and 4.8 TB/s (their datasheets)."""
    other = tmp_path / "other.moe"
    other.write_text(
        TEXT.replace("h100-sxm x 16", "h200-sxm x 16").replace("wide = ep 8", "wide = ep 4"), encoding="utf-8"
    )
    text = run(path, other).stdout
    inputs, _, decisions = text.partition("\ninputs that differ\n")[2].partition("\n\ndifferences\n")
    assert "  cluster.device.memory_bytes                80 GB  →  " in inputs and "141 GB" in inputs
    assert "3.35 TB/s  →  " in inputs and "source" not in inputs
    assert "experts ep:" in decisions and "cluster." not in decisions


def test_the_text_marks_the_better_one(path: Path) -> None:
    result = run(path)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "GPUs * 8 ✓ * 8 ✓ (same) 16 ✗ (+100 %)" in lines
    assert result.exit_code == 1


def test_a_comparison_needs_two(path: Path) -> None:
    result = run(path, "--strategy", "wide")
    assert (result.exit_code, "two strategies" in result.stderr) == (2, True)


def test_an_unknown_strategy_is_told(path: Path) -> None:
    assert "no plan has a strategy `wider`" in run(path, "--strategy", "wide", "--strategy", "wider").stderr


def test_a_strategy_without_a_meaning_does_not_keep_the_others_from_comparison(tmp_path: Path) -> None:
    path = tmp_path / "plan.moe"
    path.write_text(f"{TEXT}strategy bad = ep 2 < pp 2 >\n", encoding="utf-8")
    result = run(path)
    assert (result.exit_code, "[H101]" in result.stderr) == (1, True)


def test_the_page_has_a_row_for_each_stage(path: Path, tmp_path: Path) -> None:
    """Prefill and decode of plans of one and of four stages: 2 × (1 + 4) rows, and what is drawn is on one scale."""
    page = tmp_path / "page.html"
    assert run(path, "--strategy", "wide", "--strategy", "deep", "--page", page).exit_code == 0
    root = html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))
    svg = "{http://www.w3.org/2000/svg}"
    rows = ["".join(label.itertext()) for label in root.iter(f"{svg}text")]
    assert sum(" · stage " in row for row in rows) == 2 * (1 + 4)
    spans = [plot.get("data-span") for plot in root.iter(f"{svg}svg") if plot.get("class") == "plot"]
    assert [spans[0] == spans[1], spans[2] == spans[3], spans[0] == spans[2]] == [True, True, False]


def test_the_page_has_the_answers_side_by_side(path: Path, tmp_path: Path) -> None:
    """A card a plan, with the figures of its tiles; the facts, which all share, stand once above them."""
    page = tmp_path / "page.html"
    assert run(path, "--strategy", "wide", "--strategy", "deep", "--page", page).exit_code == 0
    html = "{http://www.w3.org/1999/xhtml}"
    root = html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))
    cards = [" ".join("".join(card.itertext()).split()) for card in root.iter(f"{html}article")]
    assert [card.split()[0] for card in cards] == ["wide", "deep"]
    assert all(name in card for card in cards for name in ("GPUs", "memory", "TTFT", "TPOT", "output tokens/s"))
    subjects = [one for one in root.iter(f"{html}p") if one.get("class") == "subject"]
    assert len(subjects) == 1
    assert (subjects[0].text or "").startswith("model ")


def test_load_balance_is_the_mean_by_the_longest() -> None:
    """Four GPUs compute 1, 1, 2 and 4 s: 2 s at the mean, by 4 s."""
    computing = np.array([1, 1, 2, 4]) * PICOSECONDS
    decode = timeline(Phase.DECODE, 0.05, 0.04)
    graph = replace(decode.priced.graph, teams=(Team("main", 0, np.arange(4)),))
    uneven = replace(decode, priced=PricedPhase(graph, ()), occupied=(computing, np.zeros(4, dtype=np.int64)))
    metrics = measure(plan(), (timeline(Phase.PREFILL, 2.0, 2.0), uneven))
    assert (metrics.prefill.load_balance, metrics.decode.load_balance) == (1.0, 0.5)


def test_without_rates_only_gpus_and_memory_are_compared() -> None:
    from dagc.results.assess import assess

    one = Subject("a", "a.moe", plan(), assess(plan(), memory(20e9, 10e9), None), None)
    assert [row.name for row in compare([one, one]).figures] == ["gpus", "memory"]
    assert cost_of(plan(), None) is None
