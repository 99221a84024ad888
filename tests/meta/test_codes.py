"""Codes, explain pages and rules are the same set under three aspects."""

from __future__ import annotations

from collections import Counter

import pytest

from dagc.diag import listing
from dagc.diag.diagnostic import Code, Severity
from dagc.diag.explain import listed
from tests.harness import explain
from tests.harness.modules import declared_codes
from tests.harness.places import EXPLAIN, TESTS

PUBLISHED = TESTS / "meta" / "codes.txt"
PAGES = {path.stem: path for path in EXPLAIN.glob("*.md")}


@pytest.fixture(scope="module")
def codes() -> dict[Code, list[str]]:
    """Every code with the modules that declare one like it."""
    found: dict[Code, list[str]] = {}
    for module, code in declared_codes():
        found.setdefault(code, []).append(module)
    return found


def test_a_code_and_a_name_are_declared_once(codes: dict[Code, list[str]]) -> None:
    numbers, names = Counter(code.code for code in codes), Counter(code.name for code in codes)
    assert {
        code: modules
        for code, modules in codes.items()
        if len(modules) > 1 or numbers[code.code] > 1 or names[code.name] > 1
    } == {}


def test_a_code_has_its_page(codes: dict[Code, list[str]]) -> None:
    assert {code.code: modules for code, modules in codes.items() if code.code not in PAGES} == {}


def test_a_page_has_its_code(codes: dict[Code, list[str]]) -> None:
    assert sorted(PAGES.keys() - {code.code for code in codes}) == []


def test_code_and_page_have_one_name_and_one_severity(codes: dict[Code, list[str]]) -> None:
    declared = {code.code: code for code in codes if code.code in PAGES}
    pages = {code: explain.read(PAGES[code]) for code in declared}
    assert {
        code: Code(page.code, page.name, Severity(page.severity), page.is_default) for code, page in pages.items()
    } == declared


def test_the_library_lists_its_codes_from_the_pages(codes: dict[Code, list[str]]) -> None:
    assert {one.code for one in listed()} == set(codes)


def test_advice_and_what_is_left_out_warn_and_only_these(codes: dict[Code, list[str]]) -> None:
    """The letter tells whether the exit status can be other than 0."""
    assert [code for code in codes if (code.severity == "warning") != code.code.startswith(("W", "L"))] == []


def test_a_published_code_keeps_its_name_and_is_never_reused(codes: dict[Code, list[str]]) -> None:
    """A new code takes a line of its own; a line is never changed but for the word `retired` behind it."""
    lines = [line.split() for line in PUBLISHED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [number for number, count in Counter(line[0] for line in lines).items() if count > 1] == []
    retired = {line[0] for line in lines if line[2:] == ["retired"]}
    declared = {code.code: code.name for code in codes}
    assert {line[0]: line[1] for line in lines if line[0] not in retired} == declared
    assert sorted(retired & declared.keys()) == []


def test_the_list_of_codes_is_fresh() -> None:
    """When this fails, a page has changed: `python -m dagc.diag.listing` writes the list anew."""
    assert listing.PAGE.read_text(encoding="utf-8") == listing.page()
