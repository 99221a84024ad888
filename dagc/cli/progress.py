"""Progress of long work, on standard error: a line that changes on a terminal, elsewhere a new line every 30 s.

On a terminal nothing is shown before two seconds have passed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

PATIENCE_SECONDS = 2.0
"""Time before the first line on a terminal."""

INTERVAL_SECONDS = 30.0
"""Time between two lines elsewhere."""


@contextmanager
def progress() -> Generator[Callable[[str], None]]:
    """A function that takes the name of the step that begins; on exit a terminal's line is wiped."""
    report = _Line() if sys.stderr.isatty() else _Log()
    report.start()
    try:
        yield report.say
    finally:
        report.end()


class _Line:
    """One line of a terminal, silent until the timer has run out."""

    def __init__(self) -> None:
        self.step = ""
        self.is_shown = False
        self.timer = threading.Timer(PATIENCE_SECONDS, self._show)
        self.timer.daemon = True

    def start(self) -> None:
        self.timer.start()

    def say(self, step: str) -> None:
        self.step = step
        if self.is_shown:
            self._draw()

    def end(self) -> None:
        self.timer.cancel()
        if self.is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _show(self) -> None:
        self.is_shown = True
        self._draw()

    def _draw(self) -> None:
        click.echo(f"\r\x1b[K… {self.step}", err=True, nl=False)


class _Log:
    """Lines of a file or a pipe. A thread writes them, because the work may wait for others all the while."""

    def __init__(self) -> None:
        self.step = ""
        self.begun = time.monotonic()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def say(self, step: str) -> None:
        self.step = step

    def end(self) -> None:
        self.is_over.set()
        self.thread.join()

    def _write(self) -> None:
        while not self.is_over.wait(INTERVAL_SECONDS):
            click.echo(f"{time.monotonic() - self.begun:.0f} s: {self.step}", err=True)
