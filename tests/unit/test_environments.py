"""Every command in surroundings that fail it: it does what it always does, or one diagnostic says why not.

Never a traceback, never another status than its own, 2, or that of a signal. What was there before is whole.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.children import CLOSED, Children, Ended, shared_children
from tests.unit.test_fit import stream_table

PLAN = "model mixtral-8x7b { layers 1 }\ncluster h100-sxm x 2\nstrategy main = tp 2\nstrategy other = ep 2\n"
CASES = """kind,id,model,cluster,workload,strategy,metric,measured
one,a,mixtral-8x7b { layers 1 },h100-sxm,batch 1 prompt 4096 output 1,tp 1,prefill attention.core,533.2 us
"""
FILES = {
    "plan.moe": PLAN,
    "fix.moe": "strategy   main = tp 2 < pp 1 >\n",
    "table.csv": stream_table(4e-6, 0.7),
    "cases.csv": CASES,
}
FIXED = ("strategy main = tp 2 < pp 1 >\n", "strategy   main = tp 2\n")
"""What `fmt` and `check --fix` make of the plan."""

COMMANDS = {
    "help": "--help",
    "version": "--version",
    "usage": "compile --renderer",
    "devices": "devices h100-sxm",
    "explain": "explain D203",
    "models": "models",
    "rules": "rules",
    "fmt": "fmt fix.moe",
    "fit": "fit table.csv --device h100-sxm -o calibration.json",
    "refused": "check -e 'ep 16 < pp 4 >'",
    "check": "check plan.moe",
    "fix": "check --fix fix.moe",
    "stdin": "check -",
    "read": "read 'TP2 EP4'",
    "launch": "launch plan.moe --engine vllm",
    "memory": "memory plan.moe",
    "export": "export plan.moe --format mermaid -o out",
    "compare": "compare plan.moe --page page.html",
    "compile": "compile plan.moe -o out --view deployment",
    "search": "search plan.moe -o out --workers 1 --over none --resume record",
    "whatif": "whatif plan.moe --strategy main --only workload",
    "validate": "validate --cases cases.csv",
}
QUICK = ("version", "usage", "devices", "fmt", "fit", "refused")
"""Commands of the default run: of each kind one, none of which takes a tenth of a second."""

LONG_LIVED = "watch plan.moe"

NO_PIPE = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)"
LIMIT = "import resource as r; r.setrlimit(r.RLIMIT_{0}, ({1}, {1}))"
MEMORY = (
    "import dagc.cli.refusals as f; f.require_memory = lambda: None; import resource as r;"
    " size = int(open('/proc/self/statm').read().split()[0]) * r.getpagesize() + ({0} << 20);"
    " r.setrlimit(r.RLIMIT_AS, (size, size))"
)
GONE = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
NO_THREADS = (
    'import threading as t\ndef refuse(*_): raise RuntimeError("can\'t start new thread")\nt.Thread.start = refuse'
)
HOMELESS = {"HOME": None, "XDG_CACHE_HOME": None, "TMPDIR": "/nonexistent"}
NO_CACHE = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/dev/null"}


@dataclass(frozen=True)
class Surroundings:
    """What a child is given, the codes that it may end with, and whether it ends as ever without one."""

    asked: dict[str, Any]
    codes: str = ""
    status: int = 2
    is_read: bool = True
    may_pass: bool = True
    kept: frozenset[str] = field(default_factory=frozenset)


SURROUNDINGS = {
    "stdin closed": Surroundings({"streams": {"0": CLOSED}}, "X001"),
    "stdout closed": Surroundings({"streams": {"1": CLOSED}}, "X601", may_pass=False),
    "stdout full": Surroundings({"streams": {"1": "/dev/full"}}, "X601"),
    "stderr closed": Surroundings({"streams": {"2": CLOSED}}, is_read=False),
    "stderr full": Surroundings({"streams": {"2": "/dev/full"}}, is_read=False),
    "all closed": Surroundings({"streams": {"0": CLOSED, "1": CLOSED, "2": CLOSED}}, is_read=False, may_pass=False),
    "reader gone": Surroundings({"before": NO_PIPE}, status=141, is_read=False),
    "no home": Surroundings({"environment": HOMELESS}),
    "no cache": Surroundings({"environment": NO_CACHE}),
    "directory gone": Surroundings({"before": GONE}, "X001|X101|X102|X403"),
    "20 files": Surroundings({"before": LIMIT.format("NOFILE", 20)}, "X603"),
    "6 files": Surroundings({"before": LIMIT.format("NOFILE", 6)}, "X001|X10.|X50.|X603"),
    "files of 0 bytes": Surroundings({"before": LIMIT.format("FSIZE", 0)}, is_read=False),
    "files of 3 KB": Surroundings({"before": LIMIT.format("FSIZE", 3000)}, "X10.|X50.|X601"),
    "no threads": Surroundings({"before": NO_THREADS}, "X603"),
    "read only": Surroundings({"stop": (0, 30)}, "X10.|X506"),
    "full at once": Surroundings({"stop": (1, 28)}, "X10.|X50."),
    "full later": Surroundings({"stop": (8, 28)}, "X10.|X50."),
    **{f"{more} MB more": Surroundings({"before": MEMORY.format(more)}, "X602|X603|X203") for more in (4, 64)},
}


@pytest.fixture(scope="module")
def children() -> Children:
    return shared_children()


@pytest.fixture(scope="module")
def usual(children: Children, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How commands end where nothing fails them; those that are never asked for do not run."""
    return _Usual(children, tmp_path_factory.mktemp("usual"))


class _Usual(dict[str, Ended]):
    def __init__(self, children: Children, directory: Path) -> None:
        self._children, self._directory = children, directory

    def __missing__(self, name: str) -> Ended:
        ended = self[name] = _run(self._children, self._directory / name, name, {})
        assert ended.status in (0, 1, 2) and "Traceback" not in ended.errors, ended
        return ended


def _run(children: Children, directory: Path, name: str, asked: dict[str, Any]) -> Ended:
    directory.mkdir(parents=True)
    for file, text in FILES.items():
        (directory / file).write_text(text, "utf-8")
    asked = {**asked, "streams": {"0": str(directory / "plan.moe"), **asked.get("streams", {})}}
    return children.run(COMMANDS.get(name, LONG_LIVED), directory, **asked)


def _complaint(ended: Ended, usual: Ended, around: Surroundings) -> str:
    """What is wrong with how a command ended; empty for nothing."""
    if re.search("Traceback|Exception ignored|Exception in", ended.errors + ended.output):
        return "a traceback"
    if around.may_pass and ended.status == usual.status and (not around.is_read or "error[X" not in ended.errors):
        return (
            "" if around.asked.get("streams") or "before" in around.asked or ended.output == usual.output else "output"
        )
    if ended.status != around.status:
        return f"status {ended.status}"
    found = re.findall(r"error\[(X\d+)\]", ended.errors)
    if around.is_read and not (found and re.fullmatch(around.codes, found[-1])):
        return f"codes {found}"
    return ""


def _left(directory: Path) -> list[str]:
    """Files that are no file of a whole run: half-written, hidden, or an input that was spoilt."""
    found = [path.name for path in directory.rglob(".*")]
    for name, text in FILES.items():
        now = (directory / name).read_text("utf-8")
        if now != text and (name != "fix.moe" or now not in FIXED):
            found.append(name)
    for path in directory.glob("out/*/*"):
        found += [] if (path / "manifest.json").exists() else [path.name]
    return found


CELLS = [
    pytest.param(around, names, marks=marks, id=f"{around}, {which}")
    for which, names, marks in (
        ("quick", QUICK, ()),
        ("slow", tuple(name for name in COMMANDS if name not in QUICK), pytest.mark.slow),
    )
    for around in SURROUNDINGS
]


@pytest.mark.parametrize(("around", "names"), CELLS)
def test_a_command_ends_as_ever_or_says_why_not(
    around: str, names: tuple[str, ...], children: Children, usual: dict[str, Ended], tmp_path: Path
) -> None:
    wrong: list[str] = []
    for name in names:
        ended = _run(children, tmp_path / name, name, SURROUNDINGS[around].asked)
        complaint = _complaint(ended, usual[name], SURROUNDINGS[around]) or ", ".join(_left(tmp_path / name))
        if complaint:
            wrong.append(f"{name}: {complaint}: {ended.status} {ended.errors[-300:]}")
    assert wrong == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "names", [QUICK, pytest.param((*(n for n in COMMANDS if n not in QUICK), "watch"), marks=pytest.mark.slow)]
)
def test_a_signal_ends_a_command(
    names: tuple[str, ...], number: int, children: Children, usual: dict[str, Ended], tmp_path: Path
) -> None:
    """In the middle of its time: 128 and the number of the signal, unless it had come to its end."""
    wrong: list[str] = []
    for name in names:
        seconds = 0.5 if name == "watch" else usual[name].seconds / 2
        ended = _run(children, tmp_path / name, name, {"kill": (seconds, number)})
        own = (
            {0}
            if name == "watch" and number == signal.SIGINT
            else set[int]()
            if name == "watch"
            else {usual[name].status}
        )
        if ended.status not in {128 + number, -number, *own} or "Traceback" in ended.errors:
            wrong.append(f"{name}: status {ended.status}: {ended.errors[-300:]}")
        if left := _left(tmp_path / name):
            wrong.append(f"{name}: {left}")
    assert wrong == []


CLASS = """
import os, time, dagc.cli.main as main
class Signalled:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), {0})
        time.sleep(1)
def made():
    class Made:
        signalled = Signalled()
main.invoke = made
"""

FINALIZER = """
import os, time, dagc.cli.main as main
class Signalled:
    def __del__(self):
        os.kill(os.getpid(), {0})
        time.sleep(0)
invoke = main.invoke
main.invoke = lambda: (Signalled() and time.sleep(1), invoke())[-1]
"""

EXTENSION = """
import os, time, dagc.cli.main as main
import numpy as np, numpy._core._internal as internal
def promote(*_):
    os.kill(os.getpid(), {0})
    time.sleep(1)
internal._promote_fields = promote
main.invoke = lambda: np.zeros(3, [("a", "i4")]) == np.zeros(3, [("a", "i8")])
"""


@pytest.mark.parametrize("before", [FINALIZER, CLASS, EXTENSION])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_where_python_swallows_it_ends_a_command(
    number: int, before: str, children: Children, tmp_path: Path
) -> None:
    """The interpreter drops what a finalizer raises, and wraps what is raised while a class is made; numpy has an error
    of its own in place of what is raised while it compares structured arrays.
    """
    ended = _run(children, tmp_path / "models", "models", {"before": before.format(int(number))})
    assert ended.status == 128 + number
    assert "Traceback" not in ended.errors and "ended by" in ended.errors
