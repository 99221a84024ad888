"""The examples of every explain page: the wrong one raises its code and nothing else, the right one nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import explain
from tests.harness.places import EXPLAIN

PATHS = sorted(EXPLAIN.glob("*.md"))


def test_there_are_pages() -> None:
    assert PATHS


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_examples_do_as_the_page_says(path: Path) -> None:
    assert explain.complaints(explain.read(path)) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_page_names_what_it_rests_on(path: Path) -> None:
    _, _, references = path.read_text(encoding="utf-8").partition("## References\n")
    assert [line for line in references.splitlines() if line.startswith("- ") and len(line) > 10]
