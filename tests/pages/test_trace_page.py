"""The page on the trace: its queries print what it shows, and what they sum up is what the summary says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagc.driver.check import check
from dagc.driver.compile import export
from dagc.source import Source
from tests.harness.places import EXAMPLES, ROOT
from tests.harness.queries import answer, shown_queries
from tests.harness.traceprocessor import DROPPED, MISNESTED, TraceProcessor

PAGE = ROOT / "docs" / "trace.md"
QUERIES = shown_queries(PAGE)
MICROSECOND = 1e-6


def _files(directory: Path) -> dict[str, Any]:
    plan = EXAMPLES / "01-deepseek-v3-64-gpus.moe"
    (checked,) = check(Source(plan.name, plan.read_text(encoding="utf-8"))).checked
    product = export(checked)
    content = product.files["trace.json"]
    (directory / "trace.json").write_bytes(content if isinstance(content, bytes) else b"".join(content))
    summary = product.files["summary.json"]
    assert isinstance(summary, bytes)
    return json.loads(summary)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], TraceProcessor]]:
    directory = tmp_path_factory.mktemp("trace")
    summary = _files(directory)
    with TraceProcessor(directory / "trace.json") as processor:
        yield summary, processor


def test_the_queries_print_what_the_page_shows(opened: tuple[dict[str, Any], TraceProcessor]) -> None:
    _, processor = opened
    assert processor.query(DROPPED) == []
    assert processor.query(MISNESTED) == []
    assert len(QUERIES) >= 7
    for query, shown in QUERIES:
        assert answer(processor, query.text) == shown.text, f"{PAGE.name}:{query.line}"


def test_the_critical_path_takes_as_long_as_the_summary_says(opened: tuple[dict[str, Any], TraceProcessor]) -> None:
    summary, processor = opened
    rows = processor.query(QUERIES[0][0].text)
    for row, phase in zip(rows, ("prefill", "decode"), strict=True):
        assert row["ns"] / 1e9 == pytest.approx(summary["phases"][phase]["latency_seconds"], abs=MICROSECOND)


def test_shares_are_those_of_the_summary(opened: tuple[dict[str, Any], TraceProcessor]) -> None:
    """To the microsecond: each share of the phase's seconds, the bubble among them."""
    summary, processor = opened
    rows = processor.query(QUERIES[1][0].text)
    for phase in ("prefill", "decode"):
        told = summary["phases"][phase]
        for spending in ("compute", "memory", "communication", "bubble"):
            spent = sum(r["ns"] for r in rows if r["phase"].startswith(phase) and r["spent_on"] == spending)
            share = told["critical_path"][f"{spending}_share"]
            assert spent / 1e9 == pytest.approx(share * told["seconds"], abs=MICROSECOND)


def test_the_bubble_of_the_busiest_stage_is_that_of_the_summary(
    opened: tuple[dict[str, Any], TraceProcessor],
) -> None:
    """Found from the lanes alone, by the query on the page: that of the stage that the time breakdown names."""
    summary, processor = opened
    query = next(query.text for query, _ in QUERIES if "bubble_ns" in query.text)
    (name,) = processor.query("select name from thread where name glob 'prefill*time breakdown*'")
    stage = name["name"].split(" · ")[2]
    (row,) = (row for row in processor.query(query) if f" · {stage} · " in row["stage"])
    told = summary["phases"]["prefill"]
    bubble = told["critical_path"]["bubble_share"] * told["seconds"]
    assert row["bubble_ns"] / 1e9 == pytest.approx(bubble, abs=MICROSECOND)
