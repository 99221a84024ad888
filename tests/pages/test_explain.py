"""The examples of every explain page: the wrong one raises exactly its code, the right one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import explain
from tests.harness.checking import check
from tests.harness.places import EXPLAIN

PATHS = sorted(EXPLAIN.glob("*.md"))


def test_there_are_pages() -> None:
    assert PATHS


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_examples_do_as_the_page_says(path: Path) -> None:
    page = explain.read(path)
    for plan in page.examples:
        checked = check(plan, path.name)
        assert checked.codes("error") == ({page.code} if page.severity == "error" else set()), checked.findings
        assert page.code in checked.codes(page.severity), checked.findings
    for plan in page.instead:
        checked = check(plan, path.name)
        assert page.code not in checked.codes("error") | checked.codes("warning"), checked.findings
