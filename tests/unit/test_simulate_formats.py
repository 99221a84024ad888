"""`dagc simulate --format` svg, csv and trace: what is printed or written, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main

TEXT = """model mixtral-8x7b
cluster h100-sxm x 16
workload { concurrency 4    prompt 512    output 16 }
require { ttft p99 <= 1 ms }
"""
ONE = TEXT + "strategy main = ep 8\n"
TWO = TEXT + "strategy narrow = ep 8\nstrategy wide = tp 8\n"
TITLES = {
    "Distribution of request times: main",
    "Queue, batch and cache over time: main",
    "✗ ttft p99 <= 1 ms",
}
SWEPT = "Latency by load: ep 8"


def _simulate(directory: Path, text: str, *options: str) -> Result:
    plan = directory / "plan.moe"
    plan.write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["simulate", str(plan), "--requests", "10", *options])


def _texts(svg: bytes) -> set[str]:
    return {one.text or "" for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_the_picture_has_each_part_once(tmp_path: Path) -> None:
    printed = _simulate(tmp_path, ONE, "--format", "svg").stdout_bytes
    assert _texts(printed) >= TITLES
    assert SWEPT not in _texts(printed)


@pytest.mark.slow
def test_the_picture_of_a_sweep_has_it_below(tmp_path: Path) -> None:
    printed = _simulate(tmp_path, ONE, "--format", "svg", "--sweep", "concurrency").stdout_bytes
    assert _texts(printed) >= {*TITLES, SWEPT}


def test_a_picture_is_of_all_strategies(tmp_path: Path) -> None:
    printed = _simulate(tmp_path, TWO, "--format", "svg").stdout_bytes
    assert _texts(printed) >= {f"Queue, batch and cache over time: {name}" for name in ("narrow", "wide")}


def test_csv_has_a_row_for_each_request(tmp_path: Path) -> None:
    """10 requests are counted, as `--requests` says, of all that run."""
    rows = list(csv.DictReader(_simulate(tmp_path, ONE, "--format", "csv").stdout.splitlines()))
    assert sum(row["counted"] == "1" for row in rows) == 10
    assert {row["prompt_tokens"] for row in rows} == {"512"}
    assert [row["request"] for row in rows] == [str(number) for number in range(len(rows))]


def test_a_trace_names_its_requests(tmp_path: Path) -> None:
    printed = _simulate(tmp_path, ONE, "--format", "trace").stdout_bytes
    assert b"requests of replica 0" in printed
    assert b"request 9" in printed


@pytest.mark.parametrize("style", ["text", "json", "svg", "csv", "trace"])
def test_a_file_has_what_would_be_printed(tmp_path: Path, style: str) -> None:
    target = tmp_path / "new" / "file"
    written = _simulate(tmp_path, ONE, "--format", style, "-o", str(target))
    assert written.stdout == ""
    assert target.read_bytes() == _simulate(tmp_path, ONE, "--format", style).stdout_bytes
    assert target.stat().st_size > 0


@pytest.mark.parametrize("style", ["csv", "trace"])
def test_a_format_of_one_strategy_asks_which(tmp_path: Path, style: str) -> None:
    refused = _simulate(tmp_path, TWO, "--format", style)
    assert refused.exit_code == 2
    assert "name one of `narrow`, `wide`" in refused.stderr
    assert refused.stdout_bytes == b""
    assert _simulate(tmp_path, TWO, "--format", style, "--strategy", "wide").stdout_bytes


def test_a_sweep_has_no_rows(tmp_path: Path) -> None:
    refused = _simulate(tmp_path, ONE, "--format", "csv", "--sweep", "rate")
    assert refused.exit_code == 2
    assert "--sweep" in refused.stderr


def test_a_place_that_cannot_be_written_is_a_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = _simulate(tmp_path, ONE, "--format", "csv", "-o", str(tmp_path / "file" / "rows.csv"))
    assert refused.exit_code == 2
    assert "name another directory with `-o`" in refused.stderr


def test_nothing_is_written_of_a_plan_with_errors(tmp_path: Path) -> None:
    target = tmp_path / "load.svg"
    assert _simulate(tmp_path, ONE.replace("ep 8", "ep"), "--format", "svg", "-o", str(target)).exit_code == 1
    assert not target.exists()


def test_the_document_is_as_before(tmp_path: Path) -> None:
    found = json.loads(_simulate(tmp_path, ONE, "--format", "json").stdout)
    assert [one["name"] for one in found["strategies"]] == ["main"]


def test_a_report_has_a_section_of_the_load_where_there_is_one(tmp_path: Path) -> None:
    pages: list[str] = []
    for number, text in enumerate((ONE, ONE.replace("concurrency", "batch"))):
        (tmp_path / f"{number}.moe").write_text(text, encoding="utf-8")
        CliRunner().invoke(main, ["compile", str(tmp_path / f"{number}.moe"), "-o", str(tmp_path / "out")])
        pages.append((tmp_path / "out" / str(number) / "main" / "report.html").read_text(encoding="utf-8"))
    loaded, batch = pages
    assert '<section id="load"' in loaded and "Queue, batch and cache over time: main" in loaded
    assert "ttft p99 &lt;= 1 ms" in loaded
    assert 'id="load"' not in batch
