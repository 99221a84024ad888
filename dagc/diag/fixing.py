"""Makes fixes, and applies them to a text.

A fix that only spells what was meant is safe where the meant word is clear: near to the written one, nearer than any
other, and of the same digits, because a digit is no slip of the pen. Where edits of two fixes overlap, the first in the
order of the text is applied, and the other left for the next round. What is outside the edits stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dagc.diag.diagnostic import Diagnostic, Edit, Fix
from dagc.source import Source, Span
from dagc.units import APART, digits, likeliest, likeness

_CLEAR = 0.75
"""Share of matching characters from which a word is clearly another one."""

_MOST_ALIKE = 3
"""Words that help names where all are about equally near; of more it names none."""


def meant(word: str, options: Iterable[str], stand_for: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The options that help may ask about, or what these abbreviate."""
    found = likeliest(word, options)
    if stand_for is not None:
        found = tuple(dict.fromkeys(stand_for[option] for option in found))
    return found if len(found) <= _MOST_ALIKE else ()


def asked(found: Sequence[str]) -> tuple[str, ...]:
    """Help that asks whether one of these words was meant; none without words."""
    return (f"did you mean {' or '.join(f'`{word}`' for word in found)}?",) if found else ()


def spelling(span: Span, found: Sequence[str], options: Iterable[str]) -> tuple[Fix, ...]:
    """The fix that writes the only word that was found among the options; none where several are about equally near."""
    if len(found) != 1:
        return ()
    return write(span, found[0], safe=_is_clear(span.text.strip('"'), found[0], options))


def write(span: Span, text: str, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that writes this text in place of what is there."""
    return (Fix(f"write `{text}`", (Edit(span, text),), safe),)


def insert(source: Source, offset: int, text: str, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that adds this text."""
    return (Fix(f"add `{text.strip()}`", (Edit(source.span(offset, offset), text),), safe),)


def remove(span: Span, *, safe: bool = False) -> tuple[Fix, ...]:
    """The fix that takes away what is there."""
    return (Fix(f"remove `{' '.join(span.text.split())}`", (Edit(span, ""),), safe),)


def _is_clear(word: str, near: str, options: Iterable[str]) -> bool:
    others = [option for option in options if option != near]
    if any(option.casefold() == word.casefold() for option in others):
        return False
    alike = likeness(word, near)
    second = max((likeness(word, option) for option in others), default=0.0)
    return alike >= _CLEAR and alike - second >= APART and digits(word) == digits(near)


# Applying


def fix_of(diagnostic: Diagnostic, unsafe: bool) -> Fix | None:
    """The fix that would be applied: the first safe one, or else the first where unsafe ones are asked for."""
    in_text = [fix for fix in diagnostic.fixes if not any(_is_option(edit.span.source) for edit in fix.edits)]
    return next((fix for fix in in_text if fix.safe), next(iter(in_text), None) if unsafe else None)


def _is_option(source: Source) -> bool:
    """Whether a text came by an option such as `--model`: there is nowhere to write it back to."""
    return source.name.startswith("--")


def apply(source: Source, diagnostics: Iterable[Diagnostic], unsafe: bool) -> tuple[str, int]:
    """The text with all fixes that do not overlap, and the number of these."""
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
    pairs = ((edit.span, other.span) for edit in edits for other in chosen)
    return any(one.start <= other.end and other.start <= one.end for one, other in pairs)
