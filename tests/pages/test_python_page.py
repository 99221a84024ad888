"""The page on Python names every function; its blocks are run with those of the other pages."""

from __future__ import annotations

import dagc
from tests.harness.markdown import fenced_blocks
from tests.harness.places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def test_each_block_has_what_it_prints_below() -> None:
    languages = [block.language for block in fenced_blocks(PAGE)]
    assert languages == ["python", "text"] * (len(languages) // 2)


def test_it_names_every_function() -> None:
    functions = {name for name in dagc.__all__ if name.islower()}
    assert {name for name in functions if f"| `dagc.{name}` |" not in PAGE} == set()
