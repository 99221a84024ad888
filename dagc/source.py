"""Text that a user wrote, and places in it.

A `Source` is one text with the name that messages show (a path, `<stdin>`, `-e`, `--model`). A `Span` is a
half-open range of its characters. Lines and columns are computed only when a message is rendered.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property


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
