"""The README does what it shows: its console blocks run, and the continuous check runs its commands."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.harness import shell
from tests.harness.markdown import Block, fenced_blocks
from tests.harness.places import EXAMPLES, README

BLOCKS = fenced_blocks(README.read_text(encoding="utf-8")) if README.exists() else []
CONSOLE = [block for block in BLOCKS if block.language == "console"]


def commands(label: str) -> list[str]:
    return [block.text.strip() for block in BLOCKS if block.language == "sh" and label in block.labels]


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"line-{block.line}")
def test_a_console_block_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    assert shell.complaints(block.text, tmp_path) == []


def test_one_command_sets_up_and_compiles_and_one_sets_up_and_tests() -> None:
    """`.ci/run` takes both from here, so that they cannot drift."""
    (use,) = commands("use")
    (tests,) = commands("tests")
    assert use.startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/dagc compile examples/")
    assert tests == "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_it_shows_the_command_at_work() -> None:
    assert CONSOLE


def test_its_flowchart_is_what_export_writes(tmp_path: Path) -> None:
    (shown,) = (block.text for block in BLOCKS if block.language == "mermaid")
    plan = EXAMPLES / "01-deepseek-v3-64-gpus.moe"
    outcome = shell.run_dagc("export", str(plan), "--format", "mermaid", "-o", str(tmp_path), cwd=tmp_path)
    assert outcome.status == 0, outcome.output
    assert (tmp_path / plan.stem / "main" / "graph.mmd").read_text(encoding="utf-8") == shown


def test_its_python_prints_what_stands_below(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [(block, after) for block, after in pairwise(BLOCKS) if block.language == "python"]
    assert pairs
    for block, after in pairs:
        exec(block.text, {})
        assert capsys.readouterr().out == after.text


def test_its_picture_is_one_of_the_showcase() -> None:
    """Which are held against what compile draws beside the page on views."""
    (shown,) = re.findall(r"!\[[^]]*\]\((\S+)\)", README.read_text(encoding="utf-8"))
    assert (README.parent / shown).is_file()
    assert shown.startswith("out/showcase/attention-ffn-pools/")
