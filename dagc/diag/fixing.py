"""Makes fixes, and applies them to a text.

A fix that only spells what was meant is safe where the meant word is clear: near to the written one, nearer than any
other, and of the same digits, because a digit is no slip of the pen. Where edits of two fixes meet, the first in the
order of the text is applied, and the other left for the next round. What stands outside the edits stays as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from dagc.diag.diagnostic import Diagnostic, Edit, Fix
from dagc.source import Source, Span

_CLEAR = 0.75
_APART = 0.05
"""Share of matching characters from which a word is clearly another one, and by how much nearer than the next."""


def spelling(span: Span, near: str | None, options: Iterable[str]) -> tuple[Fix, ...]:
    """The fix that writes `near`, one of the options, in place of what stands there; none where nothing is near."""
    if near is None:
        return ()
    return write(span, near, safe=_is_clear(span.text.strip('"'), near, options))


def write(span: Span, text: str, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that writes this text in place of what stands there."""
    return (Fix(f"write `{text}`", (Edit(span, text),), safe),)


def insert(source: Source, offset: int, text: str, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that adds this text."""
    return (Fix(f"add `{text.strip()}`", (Edit(source.span(offset, offset), text),), safe),)


def remove(span: Span, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that takes away what stands there."""
    return (Fix(f"remove `{' '.join(span.text.split())}`", (Edit(span, ""),), safe),)


def _is_clear(word: str, near: str, options: Iterable[str]) -> bool:
    others = [option for option in options if option != near]
    if any(option.casefold() == word.casefold() for option in others):
        return False
    likeness = _likeness(word, near)
    second = max((_likeness(word, option) for option in others), default=0.0)
    return likeness >= _CLEAR and likeness - second >= _APART and _digits(word) == _digits(near)


def _likeness(word: str, option: str) -> float:
    return difflib.SequenceMatcher(None, word.casefold(), option.casefold()).ratio()


def _digits(word: str) -> list[str]:
    return re.findall(r"\d+", word)


# Applying


def fix_of(diagnostic: Diagnostic, unsafe: bool) -> Fix | None:
    """The fix that would be applied: the first safe one, or else the first where unsafe ones are asked for."""
    in_text = [fix for fix in diagnostic.fixes if not any(_is_option(edit.span.source) for edit in fix.edits)]
    return next((fix for fix in in_text if fix.safe), next(iter(in_text), None) if unsafe else None)


def _is_option(source: Source) -> bool:
    """Whether a text came by an option such as `--model`: there is nowhere to write it back to."""
    return source.name.startswith("--")


def apply(source: Source, diagnostics: Iterable[Diagnostic], unsafe: bool) -> tuple[str, int]:
    """The text with all fixes that do not meet, and the number of these."""
    chosen: list[Edit] = []
    count = 0
    for diagnostic in diagnostics:
        fix = fix_of(diagnostic, unsafe)
        if fix is not None and all(edit.span.source is source for edit in fix.edits) and not _meet(fix.edits, chosen):
            chosen += fix.edits
            count += 1
    text = source.text
    for edit in sorted(chosen, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return text, count


def _meet(edits: Sequence[Edit], chosen: Sequence[Edit]) -> bool:
    """Whether two edits overlap or touch."""
    pairs = ((one.span, other.span) for one in edits for other in chosen)
    return any(one.start <= other.end and other.start <= one.end for one, other in pairs)
