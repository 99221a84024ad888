"""The page on Python: its blocks run one after the other, as in a notebook, and each prints what stands below it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import dagc
from tests.harness.markdown import fenced_blocks
from tests.harness.places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = fenced_blocks(PAGE)
PAIRS = [(block, after) for block, after in pairwise(BLOCKS) if block.language == "python"]


def test_each_block_prints_what_stands_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(PAIRS) * 2 == len(BLOCKS)
    names: dict[str, Any] = {}
    for block, after in PAIRS:
        exec(block.text, names)
        printed = capsys.readouterr().out
        assert "\n".join(line.rstrip() for line in printed.rstrip().split("\n")) + "\n" == after.text, block.line


def test_it_names_every_function() -> None:
    functions = {name for name in dagc.__all__ if name.islower()}
    assert {name for name in functions if f"| `dagc.{name}` |" not in PAGE} == set()
