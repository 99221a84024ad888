"""`dagc watch` as a user runs it: a process, a page, a file that is saved, an interrupt."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import html5lib
import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.watch.changes import state, watched
from dagc.watch.server import Board
from tests.harness.places import ROOT
from tests.harness.shell import RUN_DAGC

PLAN = "model mixtral-8x7b\ncluster h100-sxm x 8\nstrategy one = ep 8\nstrategy two = tp 8\n"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Watch:
    """A running `dagc watch`."""

    plan: Path
    process: subprocess.Popen[str]
    port: int

    def get(self, path: str, host: str | None = None) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{self.port}"})
            with connection.getresponse() as answer:
                return answer.status, answer.read().decode()

    def state(self) -> dict[str, Any]:
        return json.loads(self.get("/state")[1])


def _answer(watch: Watch, headers: str) -> bytes:
    """The first line of an answer to a request with headers as written."""
    with socket.create_connection(("127.0.0.1", watch.port), timeout=SECONDS) as connection:
        connection.sendall(f"GET /state HTTP/1.1\r\n{headers}\r\n".encode())
        return connection.recv(200).partition(b"\r\n")[0] + b" "


@pytest.fixture
def watch(tmp_path: Path) -> Generator[Watch]:
    plan = tmp_path / "plan.moe"
    plan.write_text(PLAN, encoding="utf-8")
    with watching(plan) as running:
        yield running


@contextmanager
def watching(plan: Path) -> Generator[Watch]:
    command = [sys.executable, "-u", "-c", RUN_DAGC, "watch", str(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found
        yield Watch(plan, process, int(found[1]))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def events(port: int) -> Generator[Iterator[int]]:
    """Versions as the page hears of them."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request("GET", "/events")
        with connection.getresponse() as answer:
            assert answer.getheader("Content-Type") == "text/event-stream"
            lines = iter(answer.readline, b"")
            yield (int(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))


def test_a_save_is_compiled_and_told(watch: Watch) -> None:
    """Saved, broken, mended, ended: the page follows each step, and what last compiled stays below an error."""
    with events(watch.port) as versions:
        assert next(version for version in versions if version) == 1
        told = watch.state()
        assert (told["strategies"], told["problems"], told["stale"]) == (["one", "two"], "", False)
        assert '<h1><span class="name">two</span> <code>tp 8</code></h1>' in watch.get("/report/1")[1]

        watch.plan.write_text(PLAN + "model <script>\n", encoding="utf-8")
        assert next(versions) == 2
        told = watch.state()
        assert (told["strategies"], told["stale"]) == (["one", "two"], True)
        assert "error[" in told["problems"]
        shown = html5lib.HTMLParser(strict=True).parseFragment(told["problems"])
        assert "model <script>" in "".join(shown.itertext())
        assert "<script" not in told["problems"]

        watch.plan.write_text(PLAN.replace("ep 8", "ep 4"), encoding="utf-8")
        assert next(versions) == 3
        assert "<code>ep 4</code>" in watch.get("/report/0")[1]
        assert watch.state()["stale"] is False

        watch.plan.unlink()
        assert next(versions) == 4
        assert "error[X001]" in watch.state()["problems"]

    watch.process.send_signal(signal.SIGINT)
    assert watch.process.wait(SECONDS) == 0


def test_it_begins_and_goes_on_without_a_plan_that_compiles(tmp_path: Path) -> None:
    """No file, a text that does not parse, a strategy of two that is wrong, no file again, and a good one at last."""
    plan = tmp_path / "plan.moe"
    with watching(plan) as watch, events(watch.port) as versions:
        assert next(version for version in versions if version) == 1
        assert "error[X001]" in watch.state()["problems"]
        assert watch.get("/report/0")[0] == 404

        plan.write_text("strategy = <\n", encoding="utf-8")
        assert next(versions) == 2
        told = watch.state()
        assert (told["strategies"], told["stale"]) == ([], False)
        assert "error[S" in told["problems"]

        plan.write_text(PLAN.replace("ep 8", "ep 9"), encoding="utf-8")
        assert next(versions) == 3
        told = watch.state()
        assert (told["strategies"], told["stale"]) == (["two"], False)
        assert "error[D203]" in told["problems"]

        plan.unlink()
        assert next(versions) == 4
        told = watch.state()
        assert (told["strategies"], told["stale"]) == (["two"], True)

        plan.write_text(PLAN, encoding="utf-8")
        assert next(versions) == 5
        told = watch.state()
        assert (told["strategies"], told["stale"], told["problems"]) == (["one", "two"], False, "")


def test_it_serves_its_page_to_this_machine_alone(watch: Watch) -> None:
    """No other host's name, no file, nothing beyond the reports; a page that may load only from itself."""
    status, page = watch.get("/")
    assert status == 200
    assert "default-src 'none'; connect-src 'self'; frame-src 'self';" in page
    assert watch.get("/", host="evil.example")[0] == 421
    assert watch.get("/state", host=f"evil.example:{watch.port}")[0] == 421
    assert b" 421 " in _answer(watch, f"Host: 127.0.0.1:{watch.port}\r\nHost: evil.example\r\n")
    assert b" 421 " in _answer(watch, "")
    for path in ("/plan.moe", "/report/7", "/report/-1", "/report/٣", "/../../etc/passwd", "/report/"):
        assert watch.get(path.replace("٣", "%D9%A3"))[0] == 404, path


def test_only_a_file_can_be_watched() -> None:
    for arguments in (["-e", "ep 8"], ["-"], []):
        outcome = CliRunner().invoke(main, ["watch", *arguments])
        assert outcome.exit_code == 2
        assert "only a file can be watched" in outcome.output


def test_a_port_that_is_taken_is_said(watch: Watch) -> None:
    outcome = CliRunner().invoke(main, ["watch", str(watch.plan), "--port", str(watch.port)])
    assert outcome.exit_code == 2
    assert f"cannot listen on {watch.port}" in outcome.output


def test_a_configuration_that_the_plan_names_is_watched_too(tmp_path: Path) -> None:
    paths = watched(tmp_path / "plan.moe", 'model "config.json"\nengine vllm { version "0.11.0" }')
    assert paths == (tmp_path / "plan.moe", tmp_path / "config.json")
    before = state(paths)
    (tmp_path / "config.json").write_text("{}")
    assert state(paths) != before


def test_a_state_without_reports_keeps_the_last_ones() -> None:
    board = Board()
    board.show("first", "", (("main", b"page"),))
    board.show("wrong", "<p>", ())
    assert (board.shown.version, board.shown.reports, board.shown.is_stale) == (2, (("main", b"page"),), True)
    assert board.beyond(2, 0.01) is None
    board.close()
    assert board.beyond(1, 0.01) == board.shown
