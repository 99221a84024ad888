"""Progress of long work where standard error is no terminal: a line each interval, from a thread of its own."""

from __future__ import annotations

import time

import pytest

from dagc.cli import progress as module


def test_a_line_is_written_each_interval_while_the_work_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The work names its step once and then waits: five intervals give two lines at least, and none follows it."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.05)
    with module.progress() as say:
        say("pricing: 3 of 9 decided")
        time.sleep(0.25)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) >= 2 and all(line.endswith(" s: pricing: 3 of 9 decided") for line in lines)
    time.sleep(0.12)
    assert capfd.readouterr().err == ""


def test_short_work_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with module.progress() as say:
        say("pricing")
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""
