"""Reads degrees off a flat notation: `TP2-EP4-PP2-DP2`, `ep: 16, pp: 4`, `tp8dp8ep8`, `8-way tensor parallel`.

Turns a text into `Notation`, names and numbers with their places, or into diagnostics, one for each piece that is no
degree. What the degrees mean together is not decided here: a flat notation does not say. Flags of engines are read by
`dagc.notation.flags`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.notation.claims import WrittenClaim, split_claims
from dagc.source import Source, Span

UNREADABLE = Code("N145", "unreadable-notation")
REPEATED = Code("N146", "repeated-degree")

MAX_DIGITS = 18
"""The same limit as in a plan."""


class FlatAxis(StrEnum):
    """What a degree of a flat notation is called; `etp` is the tensor parallelism of the experts alone."""

    DP = "dp"
    PP = "pp"
    EP = "ep"
    TP = "tp"
    CP = "cp"
    ETP = "etp"


@dataclass(frozen=True, slots=True)
class Degree:
    """One degree as written; `span` covers its name and its number."""

    axis: FlatAxis
    value: int
    span: Span


@dataclass(frozen=True, slots=True)
class Notation:
    """All degrees of a text, in its order, each axis once. `engine` and `flags` are set where it is a command line.

    `claims` are what it says of the deployment that the degrees make.
    """

    source: Source
    degrees: tuple[Degree, ...]
    engine: str | None = None
    flags: tuple[str, ...] = ()
    claims: tuple[WrittenClaim, ...] = ()

    @property
    def product(self) -> int:
        """Every degree multiplied, as people count."""
        return prod(degree.value for degree in self.degrees)

    def degree(self, axis: FlatAxis) -> int | None:
        """The degree of an axis, None where it is not written."""
        return next((degree.value for degree in self.degrees if degree.axis is axis), None)


Read = tuple[Notation | None, tuple[Diagnostic, ...]]

_PARALLEL = r"(?:[-_ ]?(?:model[-_ ])?parallel(?:ism)?)?(?:[-_ ]?(?:size|degree))?"
_NAMES = {
    FlatAxis.ETP: rf"(?:experts?|moe)[-_ ]?(?:tensor{_PARALLEL}|tp(?:[-_ ]?size)?)|etp",
    FlatAxis.TP: rf"tensor{_PARALLEL}|tp(?:[-_ ]?(?:size|degree))?",
    FlatAxis.PP: rf"pipeline{_PARALLEL}|pp(?:[-_ ]?(?:size|degree))?",
    FlatAxis.EP: rf"(?:moe[-_ ]?)?experts?{_PARALLEL}|(?:moe[-_ ]?)?ep(?:[-_ ]?(?:size|degree))?",
    FlatAxis.DP: rf"data{_PARALLEL}|(?:attn[-_ ]?|attention[-_ ]?)?dp(?:[-_ ]?(?:size|degree))?",
    FlatAxis.CP: rf"context{_PARALLEL}|p?cp(?:[-_ ]?(?:size|degree))?",
}
_NAME = "|".join(f"(?P<{axis}>{pattern})" for axis, pattern in _NAMES.items())
_NAME_FIRST = re.compile(
    rf"(?<![a-z])(?:{_NAME})[\"'`]?\s*(?:[:=(×*_-]\s*)?(?P<value>\d+)(?![\d.]*\.\d)", re.IGNORECASE | re.ASCII
)
_VALUE_FIRST = re.compile(
    rf"(?P<value>\d+)(?:\s*-?\s*way)?[\s×*-]{{0,3}}(?:{_NAME})(?![a-z0-9]|[\"']?\s*[:=]?\s*\d)",
    re.IGNORECASE | re.ASCII,
)
_SEPARATOR = re.compile(
    r"(?:[\s,;+&/|(){}\[\]\"'`·×*_-]|\.(?!\d)|(?<![a-z])(?:x|and|with|by)(?![a-z]))+", re.IGNORECASE
)
_STRAY = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)

_OF_NO_SIZE = {
    "sp": "sequence parallelism reuses the ranks of tp and adds no GPUs: leave it out, or write `tp 2 [sp]` in a plan",
    "dcp": "decode-context parallelism reuses the ranks of tp and adds no GPUs: leave it out, or write `tp 2 [dcp 2]`",
    "vpp": "virtual stages share the GPUs of their pipeline and add none: leave it out",
    "vp": "virtual stages share the GPUs of their pipeline and add none: leave it out",
}
_FORM = "write names and whole numbers, such as `tp 2, ep 4, pp 2, dp 2`; the names are dp, pp, ep, tp, cp and etp"


def read_degrees(source: Source) -> Read:
    """The degrees of a text that is no command line."""
    text, claims = split_claims(source)
    found: list[Degree] = []
    problems: list[Diagnostic] = []
    for piece in _pieces(source, text):
        if isinstance(piece, Degree):
            found.append(piece)
        else:
            problems.append(_unreadable(piece))
    if not found and not problems:
        whole = source.span(0, len(source.text))
        problems.append(UNREADABLE.at(whole, "the text names no degree", "nothing to read", help=(_FORM,)))
    problems += judge(found)
    return (None, tuple(problems)) if problems else (Notation(source, tuple(found), claims=claims), ())


def judge(degrees: Sequence[Degree]) -> Iterator[Diagnostic]:
    """Degrees that count nothing, and axes that are written twice."""
    seen: dict[FlatAxis, Degree] = {}
    for degree in degrees:
        if degree.value < 1 or degree.value >= 10**MAX_DIGITS:
            yield _no_count(degree)
        if degree.axis in seen:
            yield _repeated(degree, seen[degree.axis])
        seen.setdefault(degree.axis, degree)


def _pieces(source: Source, text: str) -> Iterator[Degree | Span]:
    """Degrees, and the stretches between them that are neither degrees nor separators; blanks do not end a stretch.

    `text` is what is read of the source, as long as it.
    """
    at = 0
    stray: Span | None = None
    while at < len(text):
        degree = _degree(source, text, at)
        end = _end_of_separator(text, at)
        if stray is not None and (degree or (end > at and text[at:end].strip())):
            yield stray
            stray = None
        if degree:
            yield degree
            at = degree.span.end
        elif end > at:
            at = end
        else:
            here = _stray(source, text, at)
            stray, at = stray.to(here) if stray else here, here.end
    if stray is not None:
        yield stray


def _end_of_separator(text: str, at: int) -> int:
    match = _SEPARATOR.match(text, at)
    return match.end() if match else at


def _stray(source: Source, text: str, at: int) -> Span:
    """A word, a number or a sign that is no part of a degree."""
    match = _STRAY.match(text, at)
    return source.span(at, match.end() if match else at + 1)


def _degree(source: Source, text: str, at: int) -> Degree | None:
    match = _NAME_FIRST.match(text, at) or _VALUE_FIRST.match(text, at)
    if match is None:
        return None
    axis = next(axis for axis in FlatAxis if match[axis] is not None)
    # Past any limit the exact number does not matter, and reading it would take long.
    digits = match["value"][: MAX_DIGITS + 2]
    return Degree(axis, int(digits), source.span(*match.span()))


def _unreadable(piece: Span) -> Diagnostic:
    message = f"`{shorten(piece.text)}` is not a degree of parallelism"
    return UNREADABLE.at(piece, message, "cannot be read", help=(_way_out(piece.text),))


def _way_out(text: str) -> str:
    if "<" in text or ">" in text:
        return "`< >` belongs to a strategy, which is read by `dagc check -e 'pp 4 < ep 16 >'`"
    word = re.match(r"[a-z]*", text.lower())
    return _OF_NO_SIZE.get(word[0] if word else "", _FORM)


def _no_count(degree: Degree) -> Diagnostic:
    reason = "a degree counts parts: at least 1" if degree.value < 1 else f"at most {MAX_DIGITS} digits are read"
    help_ = (f"leave out `{degree.axis}` if nothing is split",)
    return UNREADABLE.at(degree.span, f"`{shorten(degree.span.text)}` has an invalid degree", reason, help=help_)


def shorten(text: str) -> str:
    """Text that fits in a message."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def _repeated(second: Degree, first: Degree) -> Diagnostic:
    return REPEATED.at(
        second.span,
        f"`{second.axis}` is given twice: {first.value} and {second.value}",
        "the second",
        labels=(Label(first.span, "the first"),),
        help=(f"keep one; if two parts of the deployment have `{second.axis}`, write a strategy",),
    )
