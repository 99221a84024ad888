"""Console blocks into complaints: each `$` line runs in a real shell and must print what stands below it.

A line that holds only an ellipsis stands for any lines, none included; an ellipsis inside a line for any characters.
A command must succeed unless it ends in a comment such as `# exit 1`. Standard output and error are read as one text,
in a window of 100 columns, without colours. `dagc` is the one under test, installed or not. Lines of progress, which
come when a machine is slow, are left out. `run_here` is the same without new processes for `dagc`, for pages with many
commands: what it needs most time for is to start.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from dagc.cli.main import main
from tests.harness.children import shared_children
from tests.harness.places import ROOT

ELLIPSIS = "…"
EXIT = re.compile(r"\s+# exit (?P<status>\d+)\s*$")
PROGRESS = re.compile(r"^\d+ s: .*\n", re.MULTILINE)
SHELL_SIGN = re.compile(r"[<>;&$`\\]")
RUN_DAGC = "from dagc.cli.program import run; run()"


@dataclass(frozen=True, slots=True)
class Step:
    """A command line with what it must print and return."""

    command: str
    status: int
    expected: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command returned and printed, both streams in one text."""

    status: int
    output: str


def run_dagc(*arguments: str, cwd: Path, **variables: str) -> Outcome:
    """Run the command `dagc` in a process of its own, in a window of 100 columns, without colours.

    It is a child of one that has imported everything; with further environment variables it is a new process, because
    some act only on an interpreter that starts.
    """
    if variables:
        return _run([sys.executable, "-c", RUN_DAGC, *arguments], cwd, _environment() | variables, "")
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "output"
        output.touch()
        streams = {"1": str(output), "2": str(output)}
        ended = shared_children().run(shlex.join(arguments), cwd, environment=_environment(), streams=streams)
        return Outcome(ended.status, PROGRESS.sub("", output.read_text("utf-8")))


_CONTINUED = re.compile(r"(?:[^\n]*\\\n)*[^\n]*")


def steps(block: str) -> list[Step]:
    """The commands of a console block. A command goes on in the next line after a backslash."""
    found: list[Step] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        written = _CONTINUED.match(part)
        command, expected = (written[0].replace("\\\n", ""), part[written.end() + 1 :]) if written else (part, "")
        ending = EXIT.search(command)
        status = int(ending["status"]) if ending else 0
        found.append(Step(EXIT.sub("", command), status, expected))
    return found


def run_step(step: Step, cwd: Path) -> Outcome:
    """Run a command of a console block in a directory, with the `dagc` under test."""
    shims = cwd / ".bin"
    shims.mkdir(exist_ok=True)
    shim = shims / "dagc"
    dagc = shlex.join([sys.executable, "-c", RUN_DAGC])
    shim.write_text(f'#!/bin/sh\nexec {dagc} "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    environment = _environment()
    environment["PATH"] = os.pathsep.join([str(shims), environment.get("PATH", os.defpath)])
    return _run(["sh", "-c", step.command], cwd, environment, "")


def run_here(step: Step, cwd: Path) -> Outcome:
    """The same, in this process where the command is `dagc`, also with one pipe behind it; else as `run_step` does.

    Beside a pipe, standard error comes first.
    """
    words = shlex.split(step.command)
    at = words.index("|") if "|" in words else len(words)
    if words[0] != "dagc" or SHELL_SIGN.search(re.sub(r"'[^']*'", "", step.command)):
        return run_step(step, cwd)
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(main, words[1:at], env=_environment(), prog_name="dagc")
    if at == len(words):
        return Outcome(result.exit_code, PROGRESS.sub("", result.output))
    done = _run(words[at + 1 :], cwd, _environment(), result.stdout) if "|" not in words[at + 1 :] else None
    return run_step(step, cwd) if done is None else Outcome(done.status, result.stderr + done.output)


def complaints(block: str, cwd: Path, run: Callable[[Step, Path], Outcome] = run_step) -> list[str]:
    """Run the commands of a console block in a directory; one complaint a command that did not do as the block says."""
    problems: list[str] = []
    for step in steps(block):
        outcome = run(step, cwd)
        if outcome.status != step.status:
            problems.append(f"$ {step.command}\nexit {outcome.status}, not {step.status}:\n{outcome.output}")
        elif not matches(step.expected, outcome.output):
            problems.append(f"$ {step.command}\nprinted:\n{outcome.output}\nnot:\n{step.expected}")
    return problems


def matches(expected: str, actual: str) -> bool:
    """Whether a text is what a block shows, ellipses standing for anything; spaces at ends of lines do not count."""
    pattern = "".join(_pattern(line) for line in expected.strip("\n").splitlines())
    text = "".join(f"{line.rstrip()}\n" for line in actual.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None


def _pattern(line: str) -> str:
    if line.strip() == ELLIPSIS:
        return r"(?:.*\n)*?"
    return ".*".join(re.escape(part) for part in line.rstrip().split(ELLIPSIS)) + r"\n"


def _environment() -> dict[str, str]:
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TERM": "dumb"}
    return {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | plain


def _run(command: list[str], cwd: Path, environment: dict[str, str], text: str) -> Outcome:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return Outcome(done.returncode, PROGRESS.sub("", done.stdout))
