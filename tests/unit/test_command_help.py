"""`dagc --help` lists every command by question with an example, and shells complete commands, options and names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dagc.cli import main as commands
from dagc.engines.registry import engine_names
from tests.harness import shell
from tests.harness.places import PACKAGE

MODULES = {
    path.stem.replace("_", "-")
    for path in (PACKAGE / "cli").glob("*.py")
    if "@click.command" in path.read_text(encoding="utf-8")
}
EXAMPLES = [example for group in commands.GROUPS.values() for _, example in group.values()]
BASH = shutil.which("bash")

COMPLETE = """
eval "$(dagc completion bash)"
COMP_WORDS=({words}) COMP_CWORD={place}
COMPREPLY=()
compopt() {{ :; }}
_dagc_completion dagc
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_help_lists_every_command_and_imports_none() -> None:
    assert set(commands.COMMANDS) == MODULES
    code = "import sys; from dagc.cli.main import invoke; invoke(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "Predict: how fast, and why?\n  compile     " in done.stdout
    assert max(map(len, done.stdout.partition("['")[0].splitlines())) <= 80
    assert [name for name in MODULES if f"'dagc.cli.{name}'" in done.stdout] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_help_is_a_command_line(example: str) -> None:
    name, *words = shlex.split(example)
    command = commands.main.get_command(click.Context(commands.main), name)
    assert command is not None
    command.make_context(name, words)


def test_options_say_what_to_type() -> None:
    shown = " ".join(CliRunner().invoke(commands.main, ["check", "--help"]).output.split())
    quoted = [word for option in re.findall(r"--\w+ '[^']*'", shown) for word in shlex.split(option)]
    assert quoted[::2] == ["--cluster", "--workload", "--require", "--rules"]
    result = CliRunner().invoke(commands.main, ["check", "-e", "pp 4 < ep 16 ; tp 2 >", *quoted])
    assert set(re.findall(r"error\[(\w)", result.output)) <= {"W", "R"}
    assert "--model deepseek-v3, --model config.json." in shown
    assert "--cluster 'h100-sxm x 64'." in shown


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(name: str) -> None:
    result = CliRunner().invoke(commands.main, ["completion", name])
    assert result.exit_code == 0
    assert "_DAGC_COMPLETE" in result.output
    assert CliRunner().invoke(commands.main, ["completion", "tcsh"]).exit_code == 2


@pytest.mark.skipif(BASH is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dagc ch", {"check"}),
        ("dagc check --engine ''", set(engine_names())),
        ("dagc check --model mixtral-8x7", {"mixtral-8x7b"}),
        ("dagc explain d20", {"D201", "D202", "D203", "D204", "D205"}),
        ("dagc explain tp", {"tp", "TPOT"}),
        ("dagc search --ex", {"--exhaustive"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], tmp_path: Path) -> None:
    program = tmp_path / "dagc"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", shell.RUN_DAGC])} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = COMPLETE.format(words=words, place=len(shlex.split(words)) - 1)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run([str(BASH), "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert set(done.stdout.split()) == expected, done.stderr
