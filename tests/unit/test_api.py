"""`import dagc`: its names, the line that each result is, its figures, and that it says what the commands say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import html5lib
import pytest
from click.testing import CliRunner

import dagc
from dagc.api.result import Result
from dagc.cli.main import main
from dagc.export.records import plain
from tests.harness import hostile

PLAN = "ep 8"
FACTS: dict[str, Any] = {"model": "mixtral-8x7b", "cluster": "h100-sxm x 8"}
UNKNOWN = {"model": "mine { layers 16    experts 8 { top 2 } }"}

RESULTS: dict[str, Callable[[], Result]] = {
    "compile": lambda: dagc.compile(PLAN, **FACTS),
    "search": lambda: dagc.search(PLAN, gpus=4, over=(), most=4, **FACTS),
    "compare": lambda: dagc.compare(PLAN, "tp 8", **FACTS),
    "memory": lambda: dagc.memory(PLAN, **FACTS),
    "launch": lambda: dagc.launch(PLAN, **FACTS),
    "whatif": lambda: dagc.whatif(PLAN, only=["workload"], **FACTS),
    "over": lambda: dagc.whatif(PLAN, over="batch", against="tp 8", between=(1, 64), metrics=["tpot"], **FACTS),
    "read": lambda: dagc.read("TP2-EP4-PP2-DP2"),
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {name: made() for name, made in RESULTS.items()}


def printed(command: str, *arguments: str) -> Any:
    options = [part for name, text in FACTS.items() for part in (f"--{name}", text)]
    outcome = CliRunner().invoke(main, [command, *arguments, *options, "--format", "json"])
    return json.loads(outcome.stdout)


def test_the_package_lists_its_names_without_importing_them() -> None:
    code = "import dagc, sys; print(*dir(dagc)); print(*(m for m in sys.modules if m.startswith('dagc.')))"
    names, modules = subprocess.check_output([sys.executable, "-c", code], text=True).split("\n")[:2]
    assert names.split() == dagc.__all__
    assert modules == ""
    assert {"compare", "compile", "launch", "memory", "read", "search", "whatif"} < set(names.split())


def test_a_package_inside_does_not_hide_a_function_of_its_name() -> None:
    import_module("dagc.search.space")
    import_module("dagc.whatif.parameter")
    assert {type(getattr(dagc, name)) for name in ("search", "whatif")} == {type(dagc.compile)}


def test_each_result_is_one_short_line(results: dict[str, Result]) -> None:
    plan = dagc.compile("pp 4 < ep 16 ; tp 2 >", model="deepseek-v3", cluster="h100-sxm x 64")
    shown = [plan, plan["main"], *plan.diagnostics, *results.values()]
    assert [repr(one) for one in shown if len(repr(one)) > 200 or "\n" in repr(one)] == []
    assert repr(plan) == "<Plan main: 64 GPUs, TTFT 577 ms, TPOT 27.8 ms, fits, 2 warnings>"
    assert repr(plan["main"]) == repr(plan).replace("Plan", "Strategy")
    summary = repr(plan["main"].summary)
    assert len(summary) < 5000
    assert "\n" not in summary
    assert repr(dagc.compile("strategy a = ep 8\nstrategy b = tp 8", **FACTS)) == "<Plan 2 strategies: a, b>"
    assert repr(dagc.compile("zzz")) == "<Plan no strategy, 1 error>"


def test_a_strategy_has_the_figures_of_its_summary() -> None:
    one = dagc.compile(PLAN, **FACTS)["main"]
    summary = one.summary
    assert summary.phases
    assert summary.memory
    assert (one.ttft, one.tpot) == (summary.phases.prefill.seconds, summary.phases.decode.seconds)
    assert (one.memory, one.fits) == (summary.memory.per_rank_max_bytes, True)
    assert one.undetermined == {}
    assert dagc.compile("ep 2", model="deepseek-v3", cluster="h100-sxm x 2")["main"].fits is False


def test_what_is_undetermined_is_none_with_a_reason() -> None:
    plan = dagc.compile(PLAN, **UNKNOWN)
    one = plan["main"]
    assert (one.ttft, one.tpot, one.memory, one.fits) == (None, None, None, None)
    assert "model hidden" in one.undetermined["phases"]
    assert repr(plan).startswith("<Plan main: 8 GPUs, memory undetermined")
    held = dagc.memory(PLAN, **UNKNOWN)
    assert "main: memory undetermined: not stated: model hidden" in str(held)
    assert held.rows == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda: dagc.compile(PLAN)["other"],
        lambda: dagc.memory(PLAN, strategy="other"),
        lambda: dagc.launch(PLAN, strategy="other"),
        lambda: dagc.whatif(PLAN, strategy="other", only=["workload"]),
    ],
)
def test_an_error_says_which_strategy_there_is_not_and_which_there_are(ask: Callable[[], object]) -> None:
    with pytest.raises(dagc.NoSuchStrategy, match="no strategy `other`; those of the plan: `main`"):
        ask()


def test_an_error_says_why_a_plan_has_no_strategy() -> None:
    with pytest.raises(dagc.NoSuchStrategy, match=r"those of the plan: none\nerror\[H101\]"):
        dagc.memory("ep 16 < pp 4 >", strategy="main")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: dagc.compile("plans/a.moe"), r"for the file, pass `Path\('plans/a.moe'\)`"),
        (lambda: dagc.search(PLAN, gpus=0), "`gpus` is at least 1, not 0"),
        (lambda: dagc.search(PLAN, gpus=5000), "`gpus` is at most 4,096, not 5,000"),
        (lambda: dagc.search(PLAN, batches=[0]), "`batches` is at least 1"),
        (lambda: dagc.search(PLAN, over=["nothing"]), "`over`: `nothing` is none of layers"),
        (lambda: dagc.compare(PLAN, "tp 8", strategies=["other"]), "no plan has a strategy `other`"),
        (lambda: dagc.compare(PLAN), "a comparison needs two strategies"),
        (lambda: dagc.whatif(PLAN, by=0), "`by` is a per cent between 0 and 100"),
        (lambda: dagc.whatif(PLAN, by=float("nan")), "`by` is a per cent between 0 and 100"),
        (lambda: dagc.whatif(PLAN, only=["all"]), "`only`: `all` is none of hardware, workload, strategy"),
        (lambda: dagc.whatif(PLAN, metrics=["tpot"]), "need `over`"),
        (lambda: dagc.whatif(PLAN, over="batch", metrics=["speed"]), "`metrics`: `speed` is none of"),
        (lambda: dagc.whatif(PLAN, over="batch", between=(2, 1)), "`between` is a low and a higher value"),
        (lambda: dagc.whatif(PLAN, over="rate", against="tp 8"), "`over`: `rate` is none of batch"),
        (lambda: dagc.read("TP2", engine="none"), "`engine`: `none` is none of vllm"),
    ],
)
def test_an_argument_out_of_range_is_a_value_error(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask()


def test_a_block_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="`model` is the text of a block, not dict"):
        dagc.memory(PLAN, model={})  # pyright: ignore[reportArgumentType]


def test_the_results_are_those_of_the_commands(results: dict[str, Any], tmp_path: Path) -> None:
    assert plain(results["whatif"].record) == printed("whatif", "-e", PLAN, "--only", "workload")
    held = printed("memory", "-e", PLAN)["strategies"][0]["memory"]
    assert plain(results["memory"].strategies[0].memory) == held
    launches = printed("launch", "-e", PLAN)["launches"]
    assert results["launch"].commands == [service["command"] for one in launches for service in one["services"]]
    found = printed(
        "search", "-e", PLAN, "--gpus", "4", "--over", "none", "--most", "4", "--workers", "1", "-o", str(tmp_path)
    )
    assert plain(results["search"].record) == found
    assert results["search"].plan == (tmp_path / "expression" / "search" / "best.moe").read_text(encoding="utf-8")
    files = [tmp_path / "a.moe", tmp_path / "b.moe"]
    for path, text in zip(files, (PLAN, "tp 8"), strict=True):
        path.write_text(text, encoding="utf-8")
    assert plain(dagc.compare(*files, **FACTS).record) == printed("compare", *map(str, files))


def test_a_plan_that_is_wrong_has_diagnostics_and_no_rows() -> None:
    wrong = "ep 16 < axis 4 >"
    made = [ask(wrong) for ask in (dagc.compile, dagc.memory, dagc.launch, dagc.whatif, dagc.search, dagc.compare)]
    assert [[one.code.code for one in result.diagnostics] for result in made] == [["S004"]] * len(made)
    assert [result.rows for result in made] == [[]] * len(made)
    assert all("error[S004]" in str(result) and "error[S004]" in result._repr_html_() for result in made)


def test_rows_have_the_same_columns_and_plain_values(results: dict[str, Result]) -> None:
    for name, result in results.items():
        rows = result.rows
        assert rows, name
        assert {tuple(row) for row in rows} == {tuple(rows[0])}, name
        assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values()), name


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows_become_a_frame_of_the_library_that_is_there(
    library: str, results: dict[str, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "def DataFrame(rows, **options):\n    return __name__, rows\n"
    (tmp_path / f"{library}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr("dagc.api.result.find_spec", lambda name: name if name == library else None)
    monkeypatch.delitem(sys.modules, library, raising=False)
    assert results["launch"].to_dataframe() == (library, results["launch"].rows)
    sys.modules.pop(library)


def test_without_pandas_and_polars_an_error_names_both(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagc.api.result.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="needs pandas or polars"):
        results["memory"].to_dataframe()


def test_a_notebook_shows_each_result_as_html(results: dict[str, Result]) -> None:
    for result in results.values():
        html5lib.HTMLParser(strict=True).parseFragment(result._repr_html_())
    pictured = {name for name, result in results.items() if "data:image/svg" in result._repr_html_()}
    assert pictured == {"compile", "search", "memory", "whatif"}


def test_a_table_is_cut_and_says_so() -> None:
    from dagc.export.notebook import MOST_ROWS, result

    shown = result("many", None, [{"total_bytes": 1e9, "note": "<b>"}] * (MOST_ROWS + 2), "")
    assert shown.count(">1 GB</td>") == MOST_ROWS
    assert shown.count("&lt;b&gt;") == MOST_ROWS
    assert "2 more rows" in shown


def test_a_table_has_the_titles_and_units_of_figures(results: dict[str, Result]) -> None:
    shown = results["compare"]._repr_html_()
    assert ">TPOT</th>" in shown
    assert ">8.91 ms</td>" in shown
    assert "prefill_bubble" not in shown


def test_names_that_hold_markup_are_text(tmp_path: Path) -> None:
    path = hostile.write(tmp_path)
    text = path.read_text(encoding="utf-8")
    made: list[Result] = [dagc.compile(path), dagc.memory(path), dagc.launch(path), dagc.compare(path, path)]
    made += [dagc.search(path, gpus=2, over=(), most=1), dagc.compile(hostile.REFUSED), dagc.read(hostile.MARKUP)]
    assert hostile.MARKUP in text
    for result in made:
        shown = result._repr_html_()
        html5lib.HTMLParser(strict=True).parseFragment(shown)
        assert not any(mark in shown for mark in ("<script", "<img src=x", "<svg onload", hostile.OVERRIDE))
        assert not any(mark in repr(result) for mark in (hostile.OVERRIDE, "\x1b", "\n"))
