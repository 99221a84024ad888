"""The README does what it shows: its console blocks run, and the continuous check runs its commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dagc
from dagc.export.answer_svg import answer_svg
from tests.harness import shell
from tests.harness.markdown import Block, fenced_blocks
from tests.harness.places import EXAMPLES, PACKAGE, README
from tests.harness.refresh import ANSWER

VALIDATION = PACKAGE / "results" / "validation.md"
BLOCKS = fenced_blocks(README.read_text(encoding="utf-8")) if README.exists() else []
CONSOLE = [block for block in BLOCKS if block.language == "console"]


def commands(label: str) -> list[str]:
    return [block.text.strip() for block in BLOCKS if block.language == "sh" and label in block.labels]


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"line-{block.line}")
def test_a_console_block_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    """The first one of dagc in processes of their own, as a reader types it."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    run = shell.run_step if block is CONSOLE[1] else shell.run_here
    assert shell.complaints(block.text, tmp_path, run) == []


def test_one_command_sets_up_and_compiles_and_one_sets_up_and_tests() -> None:
    """`.ci/run` takes both from here, so that they cannot drift."""
    (use,) = commands("use")
    (tests,) = commands("tests")
    assert use.startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/dagc compile examples/")
    assert tests == "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_it_shows_the_command_at_work() -> None:
    assert CONSOLE


def test_the_first_question_is_answered_within_a_screen_and_all_within_200_lines() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert next(number for number, line in enumerate(lines) if line.startswith("```sh tests")) < 25


def test_its_table_of_accuracy_is_the_recorded_validation() -> None:
    recorded = dict(_rows(VALIDATION.read_text(encoding="utf-8").partition("\n## ")[0]))
    shown = dict(_rows(README.read_text(encoding="utf-8").partition("## How accurate")[2].partition("\n## ")[0]))
    del shown["measured"]
    assert len(shown) > 5
    for kind, (cases, median, bias, within) in shown.items():
        _, not_in_a_fit, *rest = recorded[kind]
        assert [cases, median, bias, within] == [not_in_a_fit, rest[0], rest[2], rest[3]], kind


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        if line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            yield first, others


def test_its_picture_is_the_answer_to_its_plan() -> None:
    """Drawn anew: what `dagc compile` writes beside the report of the plan that README is about."""
    (shown,) = re.findall(r"!\[[^]]*\]\((\S+)\)", README.read_text(encoding="utf-8"))
    assert README.parent / shown == ANSWER
    plan = dagc.compile(EXAMPLES / "07-deepseek-v3-8-gpus-serving.moe")
    assert ANSWER.read_text(encoding="utf-8") == answer_svg(plan["main"].summary)
