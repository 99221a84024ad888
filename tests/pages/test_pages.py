"""Every plan of every page, the language reference among them, is checked and must be what the page says."""

from __future__ import annotations

import pytest

from tests.harness import pages
from tests.harness.checking import check
from tests.harness.places import ROOT

PAGES = [page for place in ("tests/pages", "grammar", "docs") for page in sorted((ROOT / place).glob("*.md"))]
CASES = [case for page in PAGES for case in pages.cases(page)]


def test_there_are_pages() -> None:
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_page_and_the_compiler_agree(case: pages.Case) -> None:
    assert pages.complaints(case, check) == []
