"""The hooks of pre-commit: their entries take many files, and the largest status is theirs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.harness.places import ROOT

HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^- id: (\S+)$.*?^  entry: (.*?)$", HOOKS, re.M | re.S))


def test_the_check_takes_options_and_files(tmp_path: Path) -> None:
    done = run("dagc-check", tmp_path, "--deny", "W205")
    assert done.returncode == 1
    assert "error[H101]" in done.stderr
    assert "error[W205]" in done.stderr
    assert "lcm(16, 2) = 16 GPUs" in done.stdout


def test_a_plan_that_cannot_be_read_outweighs_one_with_errors(tmp_path: Path) -> None:
    assert run("dagc-check", tmp_path, "absent.moe").returncode == 2


def test_the_formatter_rewrites_what_is_not_canonical(tmp_path: Path) -> None:
    assert run("dagc-fmt", tmp_path).returncode == 0
    assert (tmp_path / "good.moe").read_text(encoding="utf-8") == "strategy main = ep 16 ; tp 2\n"


def test_the_hooks_are_for_plans_only() -> None:
    assert set(ENTRIES) == {"dagc-check", "dagc-fmt"}
    assert HOOKS.count(r"files: \.moe$") == 2


def run(hook: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "bad.moe").write_text("strategy main = ep 16 < pp 4 >\n", encoding="utf-8")
    (directory / "good.moe").write_text("strategy   main = ep 16 ; tp 2\n", encoding="utf-8")
    program, *words = shlex.split(ENTRIES[hook])
    assert program == "python"
    command = [sys.executable, *words, *options, "bad.moe", "good.moe"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
