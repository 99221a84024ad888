"""Consoles: a command is the same in this process and in a shell, and what is not printed is a complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import shell

COMMANDS = ["dagc check -e 'ep 16 < pp 4 >'", "dagc explain d203 | head -3", "dagc search --nothing"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_the_same_here_and_in_a_shell(command: str, tmp_path: Path) -> None:
    step = shell.Step(command, 0, "")
    assert shell.run_here(step, tmp_path) == shell.run_step(step, tmp_path)


@pytest.mark.parametrize("block", ["$ dagc explain TPOT\nnothing\n", "$ dagc explain TPOT  # exit 1\n…\n"])
def test_another_output_and_another_status_are_complaints(block: str, tmp_path: Path) -> None:
    assert len(shell.complaints(block, tmp_path, shell.run_here)) == 1
    assert shell.complaints("$ dagc explain TPOT\nTPOT (time per output token)\n…\n", tmp_path, shell.run_here) == []


def test_only_a_command_goes_on_after_a_backslash() -> None:
    """What is printed keeps its lines."""
    block = "$ dagc a \\\n  b\nfirst \\\n  second\n$ dagc c  # exit 1\n"
    assert shell.steps(block) == [
        shell.Step("dagc a   b", 0, "first \\\n  second\n"),
        shell.Step("dagc c", 1, ""),
    ]
