"""One figure for one name: every output of a plan shows the TTFT, TPOT, throughput, memory and GPUs of its summary.

Each plan has two strategies, so that a comparison has two columns. The words under which an output shows a figure are
in `tests.harness.outputs`, the figures in `tests.harness.figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dagc.driver import compile as exports
from dagc.driver.outcome import Checked
from dagc.export import mermaid, tiles
from dagc.export.text import summary as text
from dagc.export.views import strategy
from dagc.metrics import TPOT, Metric
from dagc.plan.plan import Plan
from dagc.results import comparison
from dagc.results.assemble import summarize
from dagc.results.assessment import Assessment
from dagc.results.summary import Summary
from tests.harness import outputs
from tests.harness.figures import Place, complaints, in_table, in_text
from tests.harness.known_steps import shared_steps
from tests.harness.outputs import Output, Subject, compiled

MIXTRAL = "model mixtral-8x7b\ncluster h100-sxm x 8 { price 2.5 USD/h }\n"
QWEN = "model qwen3-30b-a3b\ncluster h100-sxm x 8\n"
DEEPSEEK = "model deepseek-v3 { layers 9 }\ncluster h200-sxm x 16\n"
STATIC = "workload { batch 64    prompt 512    output 64 }\n"
SERVING = "workload { concurrency 64    prompt 1024    output 128 }\n"
QUEUED = "workload { concurrency 64    prompt 1024    output 128    rate 2 requests/s }\n"
DRAFTS = "workload { concurrency 64    prompt 1024    output 128    draft 3    accept 70 % }\n"
LIMITS = "require { ttft <= 1 s    tpot <= 5 ms    memory <= 60 GB    gpus <= 8 }\n"
QUICK = {
    "static batch": f"{MIXTRAL}{STATIC}{LIMITS}strategy a = pp 2 < ep 4 ; tp 2 >\nstrategy b = pp 2 < tp 2 > | ep 4\n",
    "requests at a rate": f"{QWEN}{QUEUED}{LIMITS}strategy a = ep 8\nstrategy b = prefill < ep 4 > | decode < ep 4 >\n",
}
SLOW = {
    "engine with mixed steps": f"{QWEN}{DRAFTS}{LIMITS}engine vllm\nstrategy a = ep 8\nstrategy b = ep 4 ; tp 2\n",
    "engine with steps apart": (
        "model deepseek-v3\ncluster h200-sxm x 32\nengine sglang\n"
        "workload { concurrency 512    prompt 4096    output 1024 }\nrequire { tpot <= 30 ms }\n"
        "strategy a = ep 32\nstrategy b = dp 2 < ep 16 >\n"
    ),
    "pools of two devices": (
        f"{QWEN}{SERVING}{LIMITS}strategy a = prefill < ep 4 > | decode [device h200-sxm] < ep 2 >\n"
        "strategy b = prefill < ep 4 > | decode [device h20] < pp 2 < ep 2 > >\n"
    ),
    "slowed replica": (
        f"{MIXTRAL.replace('{', '{ slow 5 by 30 %   ')}{STATIC}{LIMITS}"
        "strategy a = dp 2 < ep 4 >\nstrategy b = dp 2 < pp 2 < ep 2 > >\n"
    ),
    "experts apart under load": (
        f"{MIXTRAL}{SERVING}{LIMITS}strategy a = pp 2 < tp 2 > | ep 4\nstrategy b = pp 2 < tp 2 | ep 2 >\n"
    ),
    "engine and a static batch": f"{QWEN}{STATIC}{LIMITS}engine trtllm\nstrategy a = ep 8\nstrategy b = tp 8\n",
    "stages and replicas under load": (
        f"{DEEPSEEK}{SERVING}{LIMITS}strategy a = pp 2 < ep 8 ; tp 2 >\nstrategy b = dp 2 < pp 4 < ep 2 > >\n"
    ),
    "too much memory": (
        "model deepseek-v3\ncluster h100-sxm x 8\nworkload { batch 32 prompt 256 output 2 }\n"
        "strategy a = ep 8\nstrategy b = tp 8\n"
    ),
    "halves and skew": (
        f"{DEEPSEEK}workload {{ batch 96 prompt 512 output 1 routing zipf 0.8 }}\n{LIMITS}"
        "strategy a = ep 16 [overlap 2]\nstrategy b = pp 4 [micro 8] < ep 4 >\n"
    ),
}
PLANS = [
    *(pytest.param(plan, id=name) for name, plan in QUICK.items()),
    *(pytest.param(plan, id=name, marks=pytest.mark.slow) for name, plan in SLOW.items()),
]


def subject(plan: str, directory: Path) -> Subject:
    path = directory / "plan.moe"
    path.write_text(plan, encoding="utf-8")
    return compiled(path, directory / "out")


def said(shown: Iterator[Output]) -> list[str]:
    return [complaint for one in shown for complaint in one.complaints()]


@pytest.mark.parametrize("plan", PLANS)
def test_every_output_shows_the_figures_of_the_summary(plan: str, tmp_path: Path) -> None:
    of = subject(plan, tmp_path)
    assert len(of.summaries) == 2
    assert [complaint for output in outputs.ALL for complaint in said(output(of))] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUICK | SLOW if name != "too much memory"])
def test_searches_and_changes_begin_with_the_figures_of_the_summary(name: str, tmp_path: Path) -> None:
    of = subject((QUICK | SLOW)[name], tmp_path)
    assert said(outputs.of_search(of)) == []
    assert said(outputs.of_whatif(of)) == []


def of_less(write: Callable[..., Any]) -> Callable[..., Any]:
    """The same words about nine tenths of every time, as if a part of it were left out."""
    return lambda *given: write(*(0.9 * one if isinstance(one, float) else one for one in given))


def of_shorter_step(read: Callable[[Metric, Plan, Assessment], float | None]) -> Any:
    return lambda metric, plan, found: (0.9 if metric is TPOT else 1.0) * (read(metric, plan, found) or 0.0)


def without_limits(_: object) -> Callable[[Checked], Summary]:
    return lambda checked: summarize(checked.plan, checked.priced.assessment, checked.diagnostics)


VIEWS = {f"{view}.{form}" for view in outputs.VIEWS for form in ("svg", "dot")}
COMPARISONS = {
    "dagc compare", "page of dagc compare", "dagc compare --format json", "texts in dagc compare --format json"
}  # fmt: skip
SABOTAGED = [
    pytest.param(strategy, "times_text", of_less, outputs.of_compile, VIEWS | {"report.html"}, id="pictures"),
    pytest.param(mermaid, "times_text", of_less, outputs.of_export, {"Mermaid"}, id="Mermaid"),
    pytest.param(text, "times_text", of_less, outputs.of_compile, {"dagc compile"}, id="command line"),
    pytest.param(tiles, "format_seconds", of_less, outputs.of_compile, {"report.html", "answer.svg"}, id="tiles"),
    pytest.param(comparison, "value", of_shorter_step, outputs.of_compare, COMPARISONS, id="comparison"),
    pytest.param(
        exports, "summary_of", without_limits, outputs.of_python, {"Python API", "notebook"}, id="summary of the API"
    ),
]


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject(QUICK["requests at a rate"], tmp_path_factory.mktemp("queued"))


@pytest.mark.parametrize(("module", "name", "sabotage", "output", "caught"), SABOTAGED)
def test_an_output_with_a_figure_of_its_own_is_caught(
    module: ModuleType, name: str, sabotage: Any, output: Any, caught: set[str],
    queued: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each of the outputs that show it has a complaint in both strategies, and no other output has one."""
    of = queued
    monkeypatch.setattr(module, name, sabotage(getattr(module, name)))
    # What is changed is how figures are written: steps take what they took.
    with shared_steps():
        if output is not outputs.of_python:
            of = replace(compiled(of.plan, tmp_path / "again"), summaries=of.summaries)
        found = {(one.summary.name, one.name) for one in output(of) if one.complaints()}
    assert found == {(strategy, one) for strategy in ("a", "b") for one in caught}


def test_a_place_without_a_number_is_a_complaint(tmp_path: Path) -> None:
    known = subject(QUICK["static batch"], tmp_path).summaries[0]
    place = Place(r"TPOT (?P<tpot>\S+ ms)", when="tpot")
    assert complaints(in_text("TPOT is short", [place], known), known) == [f"0 times, not 1: {place.pattern}"]
    assert complaints(in_table({"memory per GPU": "17 GB"}, ["tpot"], known), known) == ["no row of tpot"]
    assert complaints(in_table({"TPOT": "soon"}, ["tpot"], known), known) == ["TPOT: 'soon' is no figure"]
    assert complaints(in_table({"tpot": 0.0}, ["tpot"], known), known) != []
