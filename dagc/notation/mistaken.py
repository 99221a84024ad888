"""S014: a flat notation, or an engine's command line, in the place of a strategy.

What a text means in the language is not asked here. Syntax errors of a text that is not of the language, but can be
read as degrees (`EP64-TP8-PP2-DP2`), have one cause, and become one diagnostic that names the command for it. Degrees
that lack nothing but a sign between them (`ep 16 tp 2`) are of the language: their error stays, and gets the help.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from dagc.diag.diagnostic import Code, Diagnostic, Family
from dagc.notation.flags import read_notation
from dagc.source import Source, Span
from dagc.syntax.errors import NO_SIGN, shorten
from dagc.syntax.vocabulary import STATEMENTS

CODE = Code("S014", "flat-notation")

_LONGEST = 2000
"""Characters of a text that is tried; what people write flat is far shorter."""

_STATEMENT = re.compile(r"\s*(?:strategy\s+[\w.-]+\s*=\s*)?(?P<flat>[^#]*?)\s*(?:#.*)?")
_COMPOSED = re.compile(r"[<>;|]")
_KEYWORD = re.compile(rf"^\s*(?:{'|'.join(STATEMENTS)})\b", re.MULTILINE)


def explain_flat(source: Source, problems: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics of a text that could not be parsed; those of each stretch that is written flat as one."""
    found = tuple(problems)
    whole = _flat(source, 0, len(source.text))
    if whole is not None:
        return _with_help(whole, found)
    for start, end in _lines(source, problems):
        flat = _flat(source, start, end)
        found = found if flat is None else _with_help(flat, found)
    return found


def _lines(source: Source, problems: Sequence[Diagnostic]) -> list[tuple[int, int]]:
    """The lines in which syntax errors are, by their offsets."""
    text = source.text
    wrong = [problem.span.start for problem in problems if problem.span and _is_syntax(problem)]
    starts = sorted({text.rfind("\n", 0, at) + 1 for at in wrong})
    ends = (text.find("\n", start) for start in starts)
    return [(start, len(text) if end < 0 else end) for start, end in zip(starts, ends, strict=True)]


def _flat(source: Source, start: int, end: int) -> Span | None:
    """What is written flat in a stretch: two degrees or more, or a command line. None where it is neither."""
    found = _STATEMENT.fullmatch(source.text, start, end) if end - start <= _LONGEST else None
    if found is None or _COMPOSED.search(found["flat"]) or _KEYWORD.search(found["flat"]):
        return None
    notation, _ = read_notation(Source("TEXT", found["flat"]))
    if notation is None or (notation.engine is None and len(notation.degrees) < 2):
        return None
    return source.span(*found.span("flat"))


def _with_help(flat: Span, problems: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    own = [one for one in problems if one.span and flat.start <= one.span.start <= flat.end and _is_syntax(one)]
    help_ = f"`dagc read {shlex.quote(' '.join(flat.text.split()))}` lists its possible meanings as strategies"
    if not own:
        return problems
    if all(one.code == NO_SIGN for one in own):
        explained = replace(own[0], help=(*own[0].help, f"a flat notation does not nest the degrees: {help_}"))
        return tuple(explained if one is own[0] else one for one in problems)
    one = CODE.at(
        flat,
        f"`{shorten(flat.text)}` is a flat notation, not a strategy",
        "a flat notation does not say how degrees nest",
        help=(help_,),
    )
    return tuple(one if other is own[0] else other for other in problems if other is own[0] or other not in own)


def _is_syntax(problem: Diagnostic) -> bool:
    return problem.code.family is Family.SYNTAX
