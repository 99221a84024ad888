"""The comparison in the page on memory: what it says of dagc is what dagc says, and the deviations follow from it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness import pages
from tests.harness.checking import check
from tests.harness.places import ROOT

PAGE = ROOT / "docs" / "memory.md"
ROW = re.compile(r"\| `(\w+)` \| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([+−]?[\d.]+) % \| (https://\S+) \|")
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))
GIB = 2**30
EXACT = ("weights", "kv_cache")
EXPLAINED = {"oss120b": 6.0, "r1_tp8": 3.0}
"""Plans for which the page says why their weights deviate by more than 1.5 %, and by how much at most."""


@pytest.fixture(scope="module")
def summaries() -> dict[str, dict[str, Any]]:
    found = [check(case.plan, case.name).summaries for case in pages.cases(PAGE)]
    return {name: summary for one in found for name, summary in one.items()}


def test_there_are_at_least_five_plans() -> None:
    assert len({row[0] for row in ROWS}) >= 5
    assert len(ROWS) == PAGE.read_text(encoding="utf-8").count("| https://")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_row_says_what_dagc_says(row: tuple[str, ...], summaries: dict[str, dict[str, Any]]) -> None:
    plan, part, reported, stated, deviation, _ = row
    held = summaries[plan]["memory"]["pools"][0]["classes"][0]["parts_bytes"][part] / GIB
    assert stated == f"{held:.2f}"
    assert deviation == f"{100 * (held / float(reported) - 1):+.2f}".replace("-", "−")


@pytest.mark.parametrize("row", [row for row in ROWS if row[1] in EXACT], ids=lambda row: f"{row[0]}-{row[1]}")
def test_what_follows_from_shapes_agrees(row: tuple[str, ...]) -> None:
    assert abs(float(row[4].replace("−", "-"))) <= EXPLAINED.get(row[0], 1.5)
