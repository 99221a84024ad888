"""The glossary: `dagc explain TERM`, the page of the documentation, and snippets that are of the language."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.diag import glossary
from dagc.source import Source
from dagc.syntax.parser import parse
from tests.harness.places import PACKAGE, ROOT

CODE = re.compile(r"`([^`]+)`")
NOT_A_PLAN = re.compile(r"dagc |\S+\.(svg|json)$|slack$|collectives nccl$")


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("TPOT", "TPOT"), ("tpot", "TPOT"), ("Time per output token", "TPOT"), ("ep", "ep"), ("EP", "ep"),
        ("critical  path", "critical path"), ("microbatches", "micro-batch"), ("stages", "stage"),
        ("EPLB", "redundant experts"),
        ("kv-cache", "KV cache"), ("node", "NVLink domain"),
    ],
)  # fmt: skip
def test_a_term_is_found_in_any_case_and_by_its_other_names(word: str, term: str) -> None:
    entry = glossary.find(word)
    assert entry is not None
    assert entry.term == term


def test_explain_takes_terms_and_codes_in_words() -> None:
    result = CliRunner().invoke(main, ["explain", "critical", "path"])
    assert result.exit_code == 0
    assert result.output.startswith("critical path\n\nThe longest chain of dependent operators")
    assert CliRunner().invoke(main, ["explain", "d203"]).output.startswith("# D203 ")
    assert "](" not in CliRunner().invoke(main, ["explain", "ttft"]).output


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("tpt", "did you mean TPOT or tp?"),
        ("path", "did you mean critical path?"),
        ("DD203", "D203?"),
        ("xyz", "`xyz` ("),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest_names(word: str, hint: str) -> None:
    result = CliRunner().invoke(main, ["explain", word])
    assert result.exit_code == 2
    assert f"there is no code or term `{word}`" in result.output
    assert hint in result.output


def test_the_page_of_the_documentation_is_the_glossary() -> None:
    shipped = (PACKAGE / "diag" / "glossary.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8") == shipped
    assert shipped.count("\n### ") == len(glossary.entries()) > 50


def test_no_name_has_two_entries() -> None:
    found = [name for entry in glossary.entries() for name in (entry.term, *entry.others)]
    assert [glossary.find(name) for name in found] == [
        entry for entry in glossary.entries() for _ in (entry.term, *entry.others)
    ]


def test_what_an_entry_says_of_the_language_parses() -> None:
    lines = re.findall(r"^- Language: (.*)$", (PACKAGE / "diag" / "glossary.md").read_text(encoding="utf-8"), re.M)
    snippets = [code for line in lines for code in CODE.findall(line) if not NOT_A_PLAN.match(code)]
    assert len(snippets) > 40
    assert [code for code in snippets if any(d.is_error for d in parse(Source("glossary", code)).diagnostics)] == []
