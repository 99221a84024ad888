"""Renders diagnostics for a person: the message, the lines it is about, what to do.

Lines are shown in the order of the text, with `^` under the primary place and `-` under the others; text that a
plan brings along is escaped, so that it cannot drive a terminal. A span over several lines is underlined from its
start to the end of its first line, and says so where it ends. Of a very long line the parts around marks are shown.
`[*]` marks what `dagc check --fix` fixes. Which diagnostics there are, and in which order, is settled before.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.fixing import fix_of
from dagc.source import Source, Span

_RESET = "\x1b[0m"
_STYLES = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "gutter": "\x1b[34m", "bold": "\x1b[1m"}
_TAB = "    "

_LONGEST, _BEFORE = 160, 40
"""Characters of a line that are shown around a mark, and how many of them before it."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """An underline of one line: columns from 0, `end` excluded, with what is beside it."""

    line: int
    start: int
    end: int
    text: str
    is_primary: bool


def render(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """All diagnostics as text, an empty line between them; empty for none."""
    return "\n".join(_diagnostic(diagnostic, color) for diagnostic in diagnostics)


def escape(text: str) -> str:
    r"""Text without characters that could move a cursor or hide: tabs as blanks, controls as `\\xNN`."""
    return text if text.isprintable() else "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char == "\t":
        return _TAB
    if char.isprintable():
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def _width(text: str) -> int:
    """Columns that escaped text takes in a terminal."""
    shown = (char for char in escape(text) if not unicodedata.combining(char))
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


def _diagnostic(diagnostic: Diagnostic, color: bool) -> str:
    painter = _Painter(color)
    severity = diagnostic.severity
    head = painter.paint(f"{severity}[{diagnostic.code.code}]", str(severity))
    mark = "[*] " if fix_of(diagnostic, unsafe=False) else ""
    lines = [f"{head}{painter.paint(f': {mark}{escape(diagnostic.message)}', 'bold')}"]
    blocks = _blocks(diagnostic)
    gutter = 1 + max((len(str(mark.line)) for _, marks in blocks for mark in marks), default=0)
    for index, (source, marks) in enumerate(blocks):
        lines += _snippet(painter, source, marks, diagnostic, gutter, arrow="-->" if index == 0 else ":::")
    lines += _remarks(painter, diagnostic, gutter)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _blocks(diagnostic: Diagnostic) -> list[tuple[Source, list[_Mark]]]:
    """The marks by source, the primary's source first, each in line order."""
    if diagnostic.span is None:
        return []
    places = [(diagnostic.span, diagnostic.label, True), *((x.span, x.text, False) for x in diagnostic.labels)]
    by_source: dict[int, tuple[Source, list[_Mark]]] = {}
    for span, text, is_primary in places:
        _, marks = by_source.setdefault(id(span.source), (span.source, []))
        marks += _marks(span, text, is_primary)
    return [(source, sorted(marks, key=lambda m: (m.line, m.start))) for source, marks in by_source.values()]


def _marks(span: Span, text: str, is_primary: bool) -> list[_Mark]:
    """One mark, or two where a span goes on over lines: its first line and its end."""
    source = span.source
    line, column = source.position(span.start)
    last_line, last_column = source.position(max(span.end, span.start))
    if last_line == line:
        return [_Mark(line, column - 1, last_column - 1, text, is_primary)]
    first = _Mark(line, column - 1, len(source.line(line)), text, is_primary)
    if last_column == 1:
        return [first]
    return [first, _Mark(last_line, last_column - 2, last_column - 1, "to here", is_primary)]


def _snippet(
    painter: _Painter, source: Source, marks: Sequence[_Mark], diagnostic: Diagnostic, gutter: int, arrow: str
) -> list[str]:
    is_main = diagnostic.span is not None and source is diagnostic.span.source
    line, column = source.position(diagnostic.span.start) if is_main and diagnostic.span else (marks[0].line, None)
    column = marks[0].start + 1 if column is None else column
    lines = [
        f"{' ' * gutter}{painter.paint(arrow, 'gutter')} {escape(source.name)}:{line}:{column}",
        painter.gutter(gutter),
    ]
    for number in sorted({mark.line for mark in marks}):
        here = [mark for mark in marks if mark.line == number]
        for line, clipped in _windows(source.line(number), here):
            lines.append(painter.gutter(gutter, str(number)) + escape(line))
            lines += [painter.gutter(gutter) + row for row in _underlines(painter, line, clipped, diagnostic)]
    return [*lines, painter.gutter(gutter)]


def _windows(line: str, marks: Sequence[_Mark]) -> list[tuple[str, list[_Mark]]]:
    """A line with its marks; of a very long one, the parts around them."""
    if len(line) <= _LONGEST:
        return [(line, list(marks))]
    windows: list[tuple[int, list[_Mark]]] = []
    for mark in marks:
        if not windows or mark.start >= windows[-1][0] + _LONGEST:
            windows.append((max(0, mark.start - _BEFORE), []))
        windows[-1][1].append(mark)
    return [_clipped(line, begin, here) for begin, here in windows]


def _clipped(line: str, begin: int, marks: Sequence[_Mark]) -> tuple[str, list[_Mark]]:
    """Part of a line, with its marks where they are now."""
    end = begin + _LONGEST
    lead, tail = "…" if begin else "", "…" if end < len(line) else ""
    by = len(lead) - begin
    moved = [replace(mark, start=mark.start + by, end=min(mark.end, end) + by) for mark in marks]
    return f"{lead}{line[begin:end]}{tail}", moved


def _underlines(painter: _Painter, line: str, marks: Sequence[_Mark], diagnostic: Diagnostic) -> list[str]:
    """One row under the line for each mark, from left to right."""
    rows: list[str] = []
    for mark in marks:
        sign = "^" if mark.is_primary else "-"
        indent = _width(line[: mark.start])
        length = max(_width(line[mark.start : mark.end]), 1)
        text = f"{sign * length} {escape(mark.text)}".rstrip()
        style = str(diagnostic.severity) if mark.is_primary else "gutter"
        rows.append(" " * indent + painter.paint(text, style))
    return rows


def _remarks(painter: _Painter, diagnostic: Diagnostic, gutter: int) -> list[str]:
    remarks = [("note", note) for note in diagnostic.notes] + [("help", text) for text in diagnostic.help]
    lead = f"{' ' * gutter} {painter.paint('=', 'gutter')} "
    lines: list[str] = []
    for kind, text in remarks:
        first, *rest = text.split("\n")
        lines.append(f"{lead}{painter.paint(kind, 'bold')}: {escape(first)}")
        lines += [f"{' ' * (gutter + 9)}{escape(line)}" for line in rest]
    return lines


@dataclass(frozen=True, slots=True)
class _Painter:
    color: bool

    def paint(self, text: str, style: str) -> str:
        """Text in a style, or plain."""
        return f"{_STYLES[style]}{text}{_RESET}" if self.color and text else text

    def gutter(self, width: int, number: str = "") -> str:
        """The left edge of a line, with its number."""
        return self.paint(f"{number:>{width}} |", "gutter") + " "


def render_concise(diagnostics: Iterable[Diagnostic]) -> str:
    """One diagnostic a line, as editors and `grep` read them: `plan.moe:7:27: error[D203] message`.

    In the given order, no end of line after the last; what has no place starts with its severity.
    """
    return "\n".join(_concise_line(diagnostic) for diagnostic in diagnostics)


def _concise_line(diagnostic: Diagnostic) -> str:
    what = f"{diagnostic.severity}[{diagnostic.code.code}] {escape(diagnostic.message)}"
    if diagnostic.span is None:
        return what
    source = diagnostic.span.source
    line, column = source.position(diagnostic.span.start)
    return f"{escape(source.name)}:{line}:{column}: {what}"
