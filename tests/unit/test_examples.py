"""The example plans through every stage, against recorded texts.

What is recorded, by example: its diagnostics as a person reads them, its structure (sizes, pools, domains), and the
graph of the small ones in canonical text. A change here is a change of what users see: a commit that changes a
recording says why.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from dagc.diag.text import render
from dagc.driver.check import check
from dagc.driver.outcome import Outcome
from dagc.export.records import plain
from dagc.graph.text import to_text
from dagc.source import Source
from tests.harness.places import EXAMPLES

PLANS = sorted(EXAMPLES.glob("*.moe"))
DRAWN = [EXAMPLES / name for name in ("02-mixtral-8-gpus.moe", "05-attention-ffn-pools.moe")]


def checked(path: Path) -> Outcome:
    return check(Source(path.name, path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_diagnostics(path: Path, snapshot: SnapshotAssertion) -> None:
    assert render(checked(path).diagnostics) == snapshot


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_structure(path: Path, snapshot: SnapshotAssertion) -> None:
    assert [plain(one.structure) for one in checked(path).checked] == snapshot


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_graph(path: Path, snapshot: SnapshotAssertion) -> None:
    graphs = [one.priced.graph for one in checked(path).checked]
    assert "\n".join(to_text(graph) for graph in graphs if graph) == snapshot
