"""The GitHub Action: its steps run the script `.ci/action`, which annotates plans and writes the comment."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness import shell
from tests.harness.places import ROOT

SCRIPT = ROOT / ".ci" / "action"
PLAN = "model mixtral-8x7b { layers 1 }\ncluster h100-sxm x 4\nstrategy main = tp 2\n"

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("git")), reason="the script needs bash and git"
)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    names = {f"GIT_{who}_{what}": "n@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = os.pathsep.join([str(cwd / ".bin"), os.environ["PATH"]])
    environment = os.environ | names | {"PATH": path}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def repository(directory: Path, **plans: str) -> Path:
    (directory / ".bin").mkdir()
    program = directory / ".bin" / "dagc"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", shell.RUN_DAGC])} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    run("git", "init", "-q", cwd=directory)
    commit(directory, **plans)
    return directory


def commit(directory: Path, **plans: str) -> None:
    for name, text in plans.items():
        (directory / f"{name}.moe").write_text(text, encoding="utf-8")
    run("git", "add", "-A", "*.moe", cwd=directory)
    done = run("git", "commit", "-qm", "plans", cwd=directory)
    assert done.returncode == 0, done.stderr


def test_plans_are_annotated_and_errors_fail(tmp_path: Path) -> None:
    repository(tmp_path, bad="strategy main = ep 16 < pp 4 >\n")
    done = run(str(SCRIPT), "check", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=bad.moe,line=1,col=25,")
    assert run(str(SCRIPT), "check", "--deny", "W999", cwd=tmp_path).returncode == 1


@pytest.mark.slow
def test_the_comment_compares_base_and_head(tmp_path: Path) -> None:
    repository(tmp_path, changed=PLAN, same=PLAN)
    commit(tmp_path, changed=PLAN.replace("tp 2", "ep 4"), new=PLAN)
    done = run(str(SCRIPT), "comment", "HEAD~1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^### (.*)$", done.stdout, re.M) == ["`changed.moe`", "`new.moe`"]
    assert "base-changed: tp 2   2 GPUs" in done.stdout
    assert re.findall(r"<summary>(.*)</summary>", done.stdout) == ["base, main", "head, main", "head, main"]
    assert done.stdout.count("\nflowchart TB\n") == 3
    assert run("git", "worktree", "list", cwd=tmp_path).stdout.count("\n") == 1


def test_the_action_runs_the_script_with_the_inputs_that_it_has() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    action = yaml.safe_load(text)
    steps = action["runs"]["steps"]
    assert all(step["shell"] == "bash" for step in steps if "run" in step)
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(action["inputs"])
    called = re.findall(r"\.ci/action\" (\w+)", text)
    assert called == ["check", "comment"]
    assert all(f"\n{name}() {{\n" in SCRIPT.read_text(encoding="utf-8") for name in called)
