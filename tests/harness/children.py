"""Commands in children of one process that has imported everything: each costs its work and no start.

`Children` starts that process; `shared_children` is the one that all tests of a process use. A child gets its
arguments, directory, streams and environment, runs lines of Python that make its surroundings hostile, and is `dagc`
from there to its end, the interpreter's own included. It may be killed after some seconds, or at its n-th call that
changes the file system, or refused that call.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.harness.places import ROOT

CLOSED = "closed"
_CHANGES = frozenset(("os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.truncate", "os.symlink"))
"""Events of the interpreter before a call that changes the file system; `open` is one where it is for writing."""

_WARM = (
    "check compile export search fit validate compare explain rules models devices read fmt launch memory whatif watch"
)
_MODULES = (
    "dagc.export.page.page",
    "dagc.export.wasm",
    "dagc.search.checkpoint",
    "dagc.export.publish",
    "scipy.optimize",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its status, negative for a signal, the seconds that it took, and what it printed."""

    status: int
    seconds: float
    output: str
    errors: str


@cache
def shared_children() -> Children:
    """One for this process, to its end."""
    directory = tempfile.TemporaryDirectory()
    children = Children(Path(directory.name))
    # In the reverse order.
    atexit.register(directory.cleanup)
    atexit.register(children.close)
    return children


class Children:
    """The process that children are forked from."""

    def __init__(self, directory: Path) -> None:
        """`directory` is for the streams of children."""
        self._directory = directory
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
        environment["XDG_CACHE_HOME"] = str(directory / "cache")
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.harness.children import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, line: str, cwd: Path, before: str = "", **asked: Any) -> Ended:
        """A command line. `before` are lines of Python; `asked` may be `streams`, paths by number; `environment`;
        `kill`, seconds and a signal; `stop`, the number of a change and of the error that it fails with, or None.
        """
        shown = [self._directory / "output", self._directory / "errors"]
        for path in shown:
            path.write_bytes(b"")
        streams = {"0": os.devnull, "1": str(shown[0]), "2": str(shown[1]), **asked.pop("streams", {})}
        request = {"arguments": shlex.split(line), "cwd": str(cwd), "before": before, **asked, "streams": streams}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        status, seconds = json.loads(stdout.readline())
        return Ended(status, seconds, *(path.read_text("utf-8", "replace") for path in shown))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve() -> None:
    """Answer each request with the status and the seconds of a child; in the child, be the command."""
    from importlib import import_module

    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in (
        *(f"dagc.cli.{one}" for one in _WARM.split()),
        "dagc.cli.main",
        "dagc.cli.program",
        "dagc.cli.refusals",
        "dagc.driver",
        *_MODULES,
    ):
        import_module(name)
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    while line := requests.readline():
        request = json.loads(line)
        begins, begun = os.pipe()
        child = os.fork()
        if child == 0:
            _be(request, begun)
            return
        os.close(begun)
        os.read(begins, 1)
        os.close(begins)
        answers.write(json.dumps(_wait(child, *request.get("kill", (60.0, 9)))) + "\n")
        answers.flush()


def _wait(child: int, patience: float, number: int) -> tuple[int, float]:
    """Wait for a child, and send it a signal when patience is at its end."""
    begun = time.monotonic()
    sent = False
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if not sent and time.monotonic() - begun >= patience:
            os.kill(child, number)
            sent = True
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(ended[1]), time.monotonic() - begun


def _be(request: dict[str, Any], begun: int) -> None:
    """Become the command of a request."""
    from dagc.cli.program import run

    os.chdir(request["cwd"])
    for name, value in request.get("environment", {}).items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    for number, path in request["streams"].items():
        _redirect(int(number), path)
    exec(request["before"], {})
    if "stop" in request:
        _stop_at(*request["stop"])
    sys.argv = ["dagc", *request["arguments"]]
    os.close(begun)
    try:
        run()
    except SystemExit as ended:
        # As the interpreter ends, without taking all modules apart.
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(int(str(ended.code or 0)))


def _redirect(number: int, path: str) -> None:
    os.close(number)
    if path == CLOSED:
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)


def _stop_at(number: int, reason: int | None) -> None:
    """Be killed before the n-th call that changes the file system, the exchange of directories and syncs among them.

    With the number of an error, that call and all later ones fail with it; only what makes room still succeeds.
    """
    left = iter(range(number))

    def change() -> None:
        if next(left, None) is not None:
            return
        if reason is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise OSError(reason, os.strerror(reason))

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        is_writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if reason is not None and event in ("os.remove", "os.rmdir"):
            return
        if event in _CHANGES or (is_writing and arguments[0] != os.devnull):
            change()

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            change()
            return call(*arguments)

        return called

    from dagc.export import publish

    os.fsync = counted(os.fsync)
    publish._swap = counted(publish._swap)  # pyright: ignore[reportPrivateUsage]
    sys.addaudithook(heard)
