"""Every page of docs/ does what it shows: its consoles, its blocks of Python, and the flowchart."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.harness import documents, shell
from tests.harness.markdown import Block, fenced_blocks
from tests.harness.places import ROOT
from tests.harness.refresh import flowchart, with_python

NAMED = re.compile(r"`((?:dagc|tests|docs|grammar|examples|\.ci)/(?:(?!NAME|CODE|FAMILY)[\w./-])+)`")
TEXTS = {page: page.read_text(encoding="utf-8") for page in documents.DOCS}
BLOCKS = {page: fenced_blocks(text) for page, text in TEXTS.items()}


def showing(language: str) -> list[Path]:
    return [page for page, blocks in BLOCKS.items() if any(block.language == language for block in blocks)]


def consoles() -> list[object]:
    return [
        pytest.param(
            page,
            block,
            marks=[pytest.mark.slow] if "slow" in block.labels else [],
            id=f"{documents.name(page)}:{block.line}",
        )
        for page, blocks in BLOCKS.items()
        for block in blocks
        if block.language == "console"
    ]


@pytest.mark.parametrize(("page", "block"), consoles())
def test_a_console_block_prints_what_it_shows(page: Path, block: Block, tmp_path: Path) -> None:
    documents.prepare(TEXTS[page], tmp_path)
    run = shell.run_step if "slow" in block.labels else shell.run_here
    assert shell.complaints(block.text, tmp_path, run) == []


@pytest.mark.parametrize("page", showing("python"), ids=documents.name)
def test_blocks_of_python_print_what_stands_below(page: Path) -> None:
    assert with_python(TEXTS[page]) == TEXTS[page]


def test_the_flowchart_is_what_export_writes(tmp_path: Path) -> None:
    shown = [block.text for page in showing("mermaid") for block in BLOCKS[page] if block.language == "mermaid"]
    assert shown == [flowchart(tmp_path)]


def test_a_block_of_python_without_output_is_of_another_program() -> None:
    """All others are run."""
    alone = [
        block.text.partition("\n")[0]
        for page in showing("python")
        for block, after in pairwise([*BLOCKS[page], Block("", "", (), "", 0)])
        if block.language == "python" and after.language != "text"
    ]
    assert alone == ["from hta.trace_analysis import TraceAnalysis"]


def test_files_that_are_named_are_there() -> None:
    """Paths in code, but for those with a NAME to fill in or an ellipsis, and what runs write."""
    texts = {**TEXTS, ROOT / "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")}
    named = {(page, path) for page, text in texts.items() for path in NAMED.findall(text)}
    assert len(named) > 60
    assert {f"{page.name}: {path}" for page, path in named if not (ROOT / path).exists()} == set()
