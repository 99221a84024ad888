"""Progress of long work: what is being done, on a terminal only, and only after two seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

PATIENCE_SECONDS = 2.0


@contextmanager
def progress() -> Generator[Callable[[str], None]]:
    """A function that takes the name of the step that begins; on exit the line is wiped."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    line = _Line()
    line.timer.start()
    try:
        yield line.say
    finally:
        line.end()


class _Line:
    """One line of a terminal, silent until the timer has run out."""

    def __init__(self) -> None:
        self.step = ""
        self.is_shown = False
        self.timer = threading.Timer(PATIENCE_SECONDS, self._show)
        self.timer.daemon = True

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
