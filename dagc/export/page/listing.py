"""Diagnostics in place: the lines of a plan, its marked places, and each message below the line that it is about.

Turns sources and diagnostics into markup. Texts given as options get a listing of their own, shown where a diagnostic
points into them. Of a long text the lines around marks are shown, and what is left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from dagc.diag.diagnostic import Diagnostic
from dagc.export.page.markup import joined, tag, ticked
from dagc.source import Source, Span

_WHOLE, _AROUND = 120, 3
"""Lines of a text that is shown in full, and lines around a mark of a longer one."""

_LONGEST = 400
"""Characters of a line that are shown."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Columns of one line, from 0, `end` excluded. `weight` orders what covers the same place."""

    start: int
    end: int
    kind: str
    weight: int


def listing(source: Source, diagnostics: Sequence[Diagnostic]) -> Markup:
    """Messages without a place, then the plan with the others, then the options that they point into."""
    placed = [diagnostic for diagnostic in diagnostics if diagnostic.span is not None]
    sources = {id(source): source} | {id(span.source): span.source for one in placed for span in _spans(one)}
    loose = (tag("div", _message(one), class_="listing") for one in diagnostics if one.span is None)
    return joined((loose, (_listing(one, placed) for one in sources.values())))


def _spans(one: Diagnostic) -> list[Span]:
    return [*([one.span] if one.span else []), *(label.span for label in one.labels)]


def _listing(source: Source, diagnostics: Sequence[Diagnostic]) -> Markup:
    marks = _marks(source, diagnostics)
    messages: dict[int, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        if diagnostic.span and diagnostic.span.source is source:
            messages.setdefault(source.position(diagnostic.span.start)[0], []).append(diagnostic)
    lines = len(source.line_starts) - source.text.endswith("\n")
    shown = _shown(lines, {*marks, *messages})
    rows = (_row(source, number, marks.get(number, ()), messages.get(number, ())) for number in shown)
    body = tag("ol", rows, class_="lines")
    return tag("div", tag("p", tag("code", source.name), class_="file"), body, class_="listing")


def _shown(lines: int, marked: set[int]) -> list[int]:
    """Numbers of the lines to show; 0 is a gap."""
    if lines <= _WHOLE:
        return list(range(1, lines + 1))
    near = {n for mark in marked or {1} for n in range(mark - _AROUND, mark + _AROUND + 1) if 1 <= n <= lines}
    numbers: list[int] = []
    for number in sorted(near):
        if number > (numbers[-1] + 1 if numbers else 1):
            numbers.append(0)
        numbers.append(number)
    return numbers if numbers[-1] == lines else [*numbers, 0]


def _row(source: Source, number: int, marks: Iterable[_Mark], messages: Iterable[Diagnostic]) -> Markup:
    if number == 0:
        return tag("li", "…", class_="gap")
    line = tag("code", _marked(source.line(number), list(marks)))
    return tag("li", line, (_message(message) for message in messages), value=number)


def _marked(line: str, marks: Sequence[_Mark]) -> Iterator[Markup | str]:
    """A line cut where a mark begins or ends; each piece has the weightiest of its marks."""
    end = min(len(line), _LONGEST)
    edges = sorted({0, end, *(min(edge, end) for mark in marks for edge in (mark.start, mark.end))})
    for left, right in pairwise(edges):
        over = [mark for mark in marks if mark.start <= left and mark.end >= right]
        piece = line[left:right]
        yield tag("mark", piece, class_=max(over, key=lambda mark: mark.weight).kind) if over else piece
    if len(line) > end:
        yield f"… {len(line) - end:,} more characters"


def _marks(source: Source, diagnostics: Iterable[Diagnostic]) -> dict[int, list[_Mark]]:
    found: dict[int, list[_Mark]] = {}
    for diagnostic in diagnostics:
        for span in _spans(diagnostic):
            if span.source is source:
                kind = str(diagnostic.severity) if span is diagnostic.span else "aside"
                _mark(found, span, kind, 2 if diagnostic.is_error else 1 if kind != "aside" else 0)
    return found


def _mark(found: dict[int, list[_Mark]], span: Span, kind: str, weight: int) -> None:
    """A mark on each line of the span; what covers nothing gets the character that follows."""
    (first, column), (last, end) = span.source.position(span.start), span.source.position(max(span.end, span.start))
    for number in range(first, last + 1):
        length = len(span.source.line(number))
        start = column - 1 if number == first else 0
        stop = end - 1 if number == last else length
        if stop > start or first == last:
            found.setdefault(number, []).append(_Mark(start, max(stop, start + 1), kind, weight))


def _message(one: Diagnostic) -> Markup:
    head = tag("p", tag("b", f"{one.severity}[{one.code.code}]"), " ", ticked(one.message))
    label = tag("p", ticked(one.label), class_="label") if one.label else None
    asides = (tag("li", _place(aside.span), aside.text) for aside in one.labels if aside.text)
    notes = (tag("li", ticked(part)) for note in one.notes for part in note.split("\n"))
    helps = (tag("li", ticked(part)) for text in one.help for part in text.split("\n"))
    details = (
        _list("aside", [*asides]),
        _list("note", [*notes]),
        _list("help", [*helps]),
    )
    return tag("div", head, label, details, class_=f"message {one.severity}", id=None)


def _place(span: Span) -> Markup:
    line, _ = span.source.position(span.start)
    return joined((tag("code", " ".join(span.text.split())[:60]), f" (line {line}): "))


def _list(kind: str, items: list[Markup]) -> Markup | None:
    return tag("ul", items, class_=kind) if items else None
