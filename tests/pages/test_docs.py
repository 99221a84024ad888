"""Every page of docs/ does what it shows: its consoles, its blocks of Python, and the flowchart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import documents, shell
from tests.harness.markdown import Block, fenced_blocks
from tests.harness.refresh import flowchart, with_python

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
