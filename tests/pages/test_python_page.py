"""The page on Python: its blocks run one after the other, as in a notebook, and each prints what stands below it."""

from __future__ import annotations

import dagc
from tests.harness.markdown import fenced_blocks
from tests.harness.refresh import PYTHON_PAGE, with_python

PAGE = PYTHON_PAGE.read_text(encoding="utf-8")
BLOCKS = fenced_blocks(PAGE)


def test_each_block_prints_what_stands_below() -> None:
    assert [block.language for block in BLOCKS] == ["python", "text"] * (len(BLOCKS) // 2)
    assert with_python(PAGE) == PAGE


def test_it_names_every_function() -> None:
    functions = {name for name in dagc.__all__ if name.islower()}
    assert {name for name in functions if f"| `dagc.{name}` |" not in PAGE} == set()
