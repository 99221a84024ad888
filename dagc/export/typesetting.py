r"""Text of a plan made fit for a picture: harmless, of bounded length, and of known width.

What XML cannot hold becomes U+FFFD, and what would turn the direction of its neighbours is shown as an escape
(`\u202e`); text with letters that run from right to left is isolated, so that the words around it keep their order.
Widths are those of Helvetica, in which the pictures are set.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata


def printable(text: str) -> str:
    """Control characters, lone surrogates and non-characters, which XML cannot hold, become U+FFFD."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)


LONGEST = 72
"""Characters of a name that are shown; the hover text has all."""

_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_FROM_RIGHT = frozenset({"R", "AL", "AN"})


def safe(text: str) -> str:
    """One line without control characters, isolated where it runs from right to left."""
    line = _TURNS.sub(lambda mark: f"\\u{ord(mark[0]):04x}", printable(" ".join(text.split())))
    turns = any(unicodedata.bidirectional(letter) in _FROM_RIGHT for letter in line)
    return f"\N{FIRST STRONG ISOLATE}{line}\N{POP DIRECTIONAL ISOLATE}" if turns else line


def cut(text: str, most: int = LONGEST) -> str:
    """The same, with what is beyond so many characters left out and marked."""
    line = " ".join(text.split())
    return safe(line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}")


def folded_lines(text: str, width: int, most: int) -> tuple[str, ...]:
    """A long text in at most so many lines of so many characters; the last one says that there is more."""
    found = textwrap.wrap(" ".join(text.split()), width) or [""]
    if len(found) > most:
        found = [*found[: most - 1], found[most - 1][: width - 1] + "\N{HORIZONTAL ELLIPSIS}"]
    return tuple(map(safe, found))


def item_lines(text: str, width: int, most: int) -> tuple[str, ...]:
    """The same for a list that is joined by dots: a line ends between two items, wherever an item fits in one."""
    lines: list[str] = []
    for item in text.split(_DOT):
        if lines and len(lines[-1]) + len(_DOT) + len(item) <= width:
            lines[-1] += f"{_DOT}{item}"
        else:
            lines.append(item)
    found = [part for line in lines for part in folded_lines(line, width, most)]
    return tuple(found) if len(found) <= most else (*found[: most - 1], f"{found[most - 1]}\N{HORIZONTAL ELLIPSIS}")


_DOT = " · "


def width(text: str, points: float, bold: bool = False) -> float:
    """Width of a text in points."""
    return sum(map(_advance, text)) * points / 1000 * (_BOLD if bold else 1.0)


_BOLD = 1.07
"""Letters of Helvetica-Bold are wider by about so much."""

_WIDTHS = {
    191: "'", 222: "ijl", 260: "|", 278: " !,./:;I[\\]ft\N{NO-BREAK SPACE}\N{MIDDLE DOT}", 333: "()-`r", 334: "{}",
    355: '"', 389: "*", 469: "^", 500: "Jckvxysz", 584: "+<=>~×", 611: "FTZ", 667: "&ABEKPSVXY", 722: "CDHNRUw",
    778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1015: "@",
}  # fmt: skip
"""Advance of Helvetica's letters in thousandths of its size, from Adobe's metrics; all others of ASCII have 556."""

_ADVANCES = {letter: advance for advance, letters in _WIDTHS.items() for letter in letters}


def _advance(letter: str) -> int:
    if letter in _ADVANCES:
        return _ADVANCES[letter]
    if letter < "\u0100":
        return 556
    return 0 if unicodedata.category(letter) in ("Mn", "Me", "Cf") else 833
