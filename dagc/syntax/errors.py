"""Codes and messages of the syntax, in terms of the language.

Turns a place where reading failed into a diagnostic. It knows what may follow what, not how the reading is done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

from dagc import units
from dagc.diag.diagnostic import Choice, Code, Diagnostic, Edit, Fix, Label, Offer
from dagc.diag.fixing import asked, insert, meant, remove, spelling, write
from dagc.source import Source, Span
from dagc.syntax import vocabulary
from dagc.syntax.tree import NamedStrategy
from dagc.syntax.vocabulary import Token

UNEXPECTED = Code("S001", "unexpected-text")
UNCLOSED = Code("S002", "unclosed-bracket")
UNMATCHED = Code("S003", "unmatched-bracket")
UNKNOWN_AXIS = Code("S004", "unknown-axis")
BAD_DEGREE = Code("S005", "bad-degree")
EMPTY = Code("S006", "empty-plan")
NOT_TEXT = Code("S007", "not-text")
TOO_DEEP = Code("S008", "too-deep")
UNKNOWN_BLOCK = Code("S009", "unknown-block")
NO_SIGN = Code("S010", "no-sign-between")
DUPLICATE = Code("S011", "duplicate-strategy")
OPEN_STRING = Code("S012", "open-string")
BAD_NUMBER = Code("S013", "bad-number")
UNKNOWN_UNIT = Code("N101", "unknown-unit")

MAX_DEPTH = 64
MAX_DIGITS = 18
CLOSER = {"LANGLE": "RANGLE", "LBRACE": "RBRACE", "LSQUARE": "RSQUARE", "_LPAR": "_RPAR"}
SIGN = {
    "LANGLE": "<", "RANGLE": ">", "LBRACE": "{", "RBRACE": "}", "LSQUARE": "[", "RSQUARE": "]",
    "_LPAR": "(", "_RPAR": ")", "_SEMICOLON": ";", "_BAR": "|", "_COMMA": ",", "EQUAL": "=",
}  # fmt: skip


def span(source: Source, token: Token) -> Span:
    """Where a token is."""
    return source.span(token.start, token.end)


def found(token: Token) -> str:
    """A token as a message names it."""
    if token.type == "$END":
        return "the end of the text"
    if not token.text:
        return "nothing"
    return f"`{shorten(token.text)}`"


def shorten(text: str) -> str:
    """Text that fits in a message."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def unexpected(source: Source, token: Token, previous: Token | None, accepts: Collection[str]) -> Diagnostic:
    """What the grammar wanted where it stopped. `accepts` are the terminals that could have stood there."""
    place = span(source, token)
    before = previous or token
    if "INT" in accepts and before.type == "AXIS":
        return _no_degree(span(source, before), token, before)
    if before.type == "SCOPE" and "LANGLE" in accepts and token.type in ("INT", "NUMBER"):
        return UNEXPECTED.at(
            place,
            f"`{before.text}` names a part and takes no degree",
            "a degree belongs to an axis",
            help=(f"put an axis inside, as in `{before.text} < tp 8 >`",),
        )
    if "_SEMICOLON" in accepts and token.type in ("AXIS", "SCOPE", "_LPAR"):
        return _no_sign(place, token, span(source, before))
    if "AXIS" in accepts and token.type == "RANGLE" and before.type == "LANGLE":
        label = Label(span(source, before), "opened here")
        return UNEXPECTED.at(place, "expected an axis such as `ep 16` inside `< >`, found nothing", labels=(label,))
    message = f"expected {_expected(before, accepts)}, found {found(token)}"
    help_ = ("write the content of an axis in `< >`",) if token.type == "LBRACE" else ()
    return UNEXPECTED.at(place, message, _after(before, place), help=help_)


def bare_inside(source: Source, scope: Token, inside: Token, gaps: Sequence[tuple[int, int]]) -> Diagnostic:
    """`attn tp 8`: what is in a scope, without `< >`. Each gap is where a `<` is missing, and where its `>` is."""
    start, end = gaps[0]
    before = source.span(start, start)
    edits = [Edit(source.span(at, at), " <") for at, _ in gaps]
    closers = sorted(at for _, at in gaps)
    edits += [Edit(source.span(at, at), " >" * closers.count(at)) for at in dict.fromkeys(closers)]
    fix = Fix("write the content of the scope in `< >`", tuple(edits), safe=False)
    text, at = "", scope.start
    for edit in edits:
        text, at = text + source.text[at : edit.span.start] + edit.replacement, edit.span.start
    choice = Choice(f"`{shorten(' '.join(text.split()))}`", fix)
    return UNEXPECTED.at(
        source.span(inside.start, end),
        f"expected `<` after `{source.span(scope.start, before.end).text}`, found {found(inside)}",
        f"write the content of `{scope.text}` in `< >`",
        offers=(Offer(((choice,),), "write"),),
    )


def _no_degree(place: Span, token: Token, axis: Token) -> Diagnostic:
    message = f"`{axis.text}` has no degree: expected a whole number, found {found(token)}"
    return BAD_DEGREE.at(place, message, f"write a degree, such as `{axis.text} 16`")


def _no_sign(place: Span, token: Token, before: Span) -> Diagnostic:
    return NO_SIGN.at(
        place,
        f"no operator between {found(token)} and the part before it",
        "expected `;`, `|` or `<` before this",
        labels=(Label(before, "ends here"),),
        help=(
            "`a < b >` puts b inside every part that a makes, `a ; b` lets both share the same GPUs, "
            "`a | b` gives each its own; a second strategy of a file needs a name: `strategy other = ...`",
        ),
    )


def _expected(before: Token, accepts: Collection[str]) -> str:
    """The shortest true description of what may occur here."""
    if "AXIS" in accepts:
        return "an axis such as `ep 16`"
    if "BARE" in accepts and "_SEMICOLON" not in accepts:
        return "a strategy or a block such as `model`"
    if before.type == "STRATEGY":
        return "a name for the strategy"
    if before.type in ("LSQUARE", "_COMMA"):
        return "an option such as `micro 8`"
    if before.type == "KEYWORD" and "LBRACE" in accepts:
        return f"a name or `{{` after `{before.text}`"
    if "NAME" in accepts and "RBRACE" in accepts:
        return "an entry such as `layers 16` or `}`"
    signs = [f"`{SIGN[name]}`" for name in SIGN if name in accepts]
    if "WORD" in accepts and "_COMMA" not in accepts:
        signs.insert(0, "a value")
    return _either(signs)


def _either(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts) or "the end of the text"
    return f"{', '.join(parts[:-1])} or {parts[-1]}"


def value_on_new_line(source: Source, token: Token, before: Token) -> Diagnostic:
    """A number or a string that starts a line inside a block."""
    return UNEXPECTED.at(
        span(source, token),
        f"expected an entry such as `layers 16` or `}}`, found {found(token)}",
        "the end of a line ends the values of an entry",
        labels=(Label(span(source, before), "the last of the line before"),),
        help=("write a value on the line of its name",),
    )


def _after(before: Token, place: Span) -> str:
    return f"after {found(before)}" if before.text and before.end <= place.start else ""


def more_than_one(place: Span) -> Diagnostic:
    """A second statement where the command line takes the text of one block."""
    message = f"expected the text of one block, found `{shorten(place.text)}`"
    return UNEXPECTED.at(place, message, "a second statement starts here")


def unclosed(source: Source, opener: Token, end: Token, last: Token) -> Diagnostic:
    """A bracket whose partner is missing; `end` is what ended the search, `last` what was read before it."""
    sign, partner = SIGN[opener.type], SIGN[CLOSER[opener.type]]
    label = Label(span(source, end), f"the {'text ends' if end.type == '$END' else 'next part starts'} here")
    if end.type in CLOSER.values():
        label = Label(span(source, end), f"closed by {found(end)} instead")
    message = f"`{sign}` is never closed"
    blank = "" if opener.type == "_LPAR" else " "
    fixes = insert(source, max(last.end, opener.end), f"{blank}{partner}")
    return UNCLOSED.at(span(source, opener), message, f"needs a `{partner}`", labels=(label,), fixes=fixes)


def unmatched(source: Source, closer: Token) -> Diagnostic:
    """A closing bracket with nothing to close."""
    opener = next(SIGN[o] for o, c in CLOSER.items() if c == closer.type)
    message = f"`{SIGN[closer.type]}` closes nothing"
    place = span(source, closer)
    return UNMATCHED.at(place, message, f"no `{opener}` is open here", help=("remove it",), fixes=remove(place))


def too_deep(source: Source, opener: Token) -> Diagnostic:
    """More brackets inside each other than any plan needs."""
    message = f"brackets are nested more than {MAX_DEPTH} deep"
    return TOO_DEEP.at(span(source, opener), message, f"bracket {MAX_DEPTH + 1} inside the others")


def unknown_axis(source: Source, token: Token) -> Diagnostic:
    """A word with a degree that is no axis."""
    near = meant(token.text, vocabulary.AXES)
    every = ", ".join(f"`{axis}`" for axis in vocabulary.AXES)
    place = span(source, token)
    fixes = spelling(place, near, vocabulary.AXES)
    message = f"`{shorten(token.text)}` is not an axis"
    return UNKNOWN_AXIS.at(place, message, f"the axes are {every}", help=asked(near), fixes=fixes)


def glued_axis(source: Source, token: Token, axis: str, degree: str) -> Diagnostic:
    """`ep16`, written without the space."""
    apart = f"{axis} {degree}"
    place = span(source, token)
    return UNKNOWN_AXIS.at(
        place,
        f"`{token.text}` is one word: put a space between axis and degree",
        help=(f"write `{apart}`",),
        fixes=write(place, apart, safe=True),
    )


def unknown_scope(source: Source, token: Token) -> Diagnostic:
    """A word before `<` that is neither a scope nor an axis."""
    near = meant(token.text, vocabulary.SCOPES)
    message = f"`{shorten(token.text)}` is neither a scope nor an axis with a degree"
    every = ", ".join(f"`{scope}`" for scope in vocabulary.SCOPES)
    place = span(source, token)
    fixes = spelling(place, near, vocabulary.SCOPES)
    return UNKNOWN_AXIS.at(place, message, f"the scopes are {every}", help=asked(near), fixes=fixes)


def unknown_block(source: Source, token: Token) -> Diagnostic:
    """A statement that starts with no keyword."""
    near = meant(token.text, vocabulary.STATEMENTS)
    every = ", ".join(f"`{word}`" for word in vocabulary.STATEMENTS)
    help_ = asked(near) or (f"a plan is made of {every}, or is one strategy",)
    message = f"`{shorten(token.text)}` starts neither a block nor a strategy"
    place = span(source, token)
    fixes = spelling(place, near, vocabulary.STATEMENTS)
    return UNKNOWN_BLOCK.at(place, message, "unknown word", help=help_, fixes=fixes)


def bad_degree(source: Source, axis: Token, degree: Token) -> Diagnostic:
    """`ep -1`, `ep 1.5`, `ep 1e3`."""
    message = f"the degree of `{axis.text}` is not a whole number: {found(degree)}"
    label = "a degree counts parts: 1, 2, 3 and so on"
    place, labels = span(source, degree), (Label(span(source, axis), "degree of this"),)
    number = float(degree.text.replace("_", ""))
    fixes = write(place, str(int(number)), safe=True) if number.is_integer() and number >= 1 else ()
    return BAD_DEGREE.at(place, message, label, labels=labels, fixes=fixes)


def bad_number(source: Source, token: Token) -> Diagnostic:
    """A number that is too large to be meant."""
    message = f"{found(token)} is too large"
    return BAD_NUMBER.at(span(source, token), message, f"numbers have at most {MAX_DIGITS} digits before the point")


def open_string(source: Source, token: Token) -> Diagnostic:
    """A string without its second quote."""
    end = token.start + len(token.text.rstrip())
    fixes = insert(source, end, '"')
    message = "the string does not end on its line"
    return OPEN_STRING.at(span(source, token), message, 'needs a closing `"`', fixes=fixes)


def duplicate(strategy: NamedStrategy, second: Span, first: Span, names: Collection[str]) -> Diagnostic:
    """Two strategies with one name; `names` are all that are taken."""
    name = strategy.name
    free = next(other for n in count(2) if (other := f"{name}-{n}") not in names)
    is_bare = strategy.name_span is None
    return DUPLICATE.at(
        second,
        f"two strategies are called `{name}`",
        "second",
        labels=(Label(first, "first"),),
        help=("give each a name of its own: `strategy other = ...`; a strategy without a name is `main`",),
        fixes=insert(second.source, second.start, f"strategy {free} = ") if is_bare else write(second, free),
    )


def unknown_unit(source: Source, first: Token, last: Token) -> Diagnostic:
    """A word after a number that is no unit."""
    place = source.span(first.start, last.end)
    known = [word for word in units.unit_words() if len(word) > 1]
    near = meant(place.text, known)
    fixes = spelling(place, near, known)
    message = f"`{shorten(place.text)}` is not a unit"
    return UNKNOWN_UNIT.at(place, message, "unknown unit", help=asked(near), fixes=fixes)


def empty(source: Source) -> Diagnostic:
    """Nothing but blanks and comments."""
    end = len(source.text)
    return EMPTY.at(
        source.span(end, end),
        "the plan is empty" if not source.text.strip() else "the plan contains only comments",
        "expected a strategy",
        help=("the shortest plan is one strategy, such as `pp 4 < ep 16 ; tp 2 >`",),
    )


def not_text(source: Source, offset: int) -> Diagnostic:
    """A character that no text holds."""
    message = f"the plan is not text: character {offset + 1} is U+{ord(source.text[offset]):04X}"
    return NOT_TEXT.at(source.span(offset, offset + 1), message, help=("a plan is UTF-8 text",))
