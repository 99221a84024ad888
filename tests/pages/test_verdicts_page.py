"""The page of verdicts: its arithmetic bounds what the search finds."""

from __future__ import annotations

import re

import pytest

from tests.harness.places import ROOT

PAGE = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")


def test_no_plan_found_is_faster_than_arithmetic() -> None:
    """A GPU of 240 effective TFLOP/s, over the operations of an input token that the page counts from the shapes."""
    layers, hidden, kv, ffn, prompt = 16, 2048, 8 * 64, 6144, 10240
    attention = 2 * hidden * hidden + 2 * hidden * kv
    experts = 2 * 3 * hidden * ffn
    scores = 4 * (prompt // 2) * hidden
    most = 400e12 * 0.6 / (layers * (2 * (attention + experts) + scores))
    assert f"{most / 1e3:.0f}" == "70"
    ((found, miss),) = re.findall(
        r"✗ throughput >= 100 tokens/ms per gpu: ([\d.]+) tokens/ms per gpu, ([\d.]+) % below the limit", PAGE
    )
    assert float(found) * 1e3 < most
    assert float(miss) == pytest.approx(100 - float(found))
    assert "= 70 tokens/ms" in PAGE
