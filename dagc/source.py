"""Text that a user wrote, and places in it.

A `Source` is one text with the name that messages show (a path, `<stdin>`, `-e`, `--model`). A `Span` is a
half-open range of its characters. Lines and columns are computed only when a message is rendered.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MOST_PLAN_BYTES = 4 << 20
"""Largest plan that is read, or table of measurements. A plan has some kilobytes; past this it is something else."""


_OWN = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Where a shell puts the pipe of `<(command)`."""


def read_file(path: Path, most_bytes: int) -> bytes:
    """The bytes of a file that a user names. Raises OSError where it is no regular file, or larger than that.

    A device has no end, and a pipe that nobody writes into is waited for without one; a pipe that the shell opened for
    this process is read.
    """
    is_own = str(path).startswith(_OWN)
    with open(path, "rb", opener=None if is_own else _open) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not (stat.S_ISREG(mode) or (is_own and stat.S_ISFIFO(mode))):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes:,} bytes")
    return content


def _open(path: str, flags: int) -> int:
    """Without waiting, because a pipe would be waited for before it is known to be one."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@dataclass(frozen=True, eq=False)
class Source:
    """One text. Two sources are the same only when they are the same object."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """Offset of the first character of each line; a line ends at a line feed."""
        breaks = [i + 1 for i, char in enumerate(self.text) if char == "\n"]
        return (0, *breaks)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1, columns in characters."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a line, counted from 1, without its end."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]

    def span(self, start: int, end: int) -> Span:
        """The span of characters `start` to `end`, `end` excluded."""
        return Span(self, start, end)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters of one source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters it covers."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The smallest span that covers this one and a later one of the same source."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))
