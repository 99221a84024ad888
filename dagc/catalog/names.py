"""Names of presets: which of them a written one means, and what is said of one that means none.

A name means the preset of that name, in any case of letters; else for the only preset that begins with it, as
whole components between hyphens (`h200` for `h200-sxm`, `qwen3-235b` for `qwen3-235b-a22b`). Where several begin with
it, they are listed. A name is never taken for one that is only spelt alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant, spelling
from dagc.source import Span

UNKNOWN_NAME = Code("N110", "unknown-name")


def same_name(written: str, names: Iterable[str]) -> str | None:
    """The name that is the written one in any case of letters."""
    return next((name for name in names if name.casefold() == written.casefold()), None)


def candidates(written: str, names: Iterable[str]) -> tuple[str, ...]:
    """The name that is written, in any case of letters; else all that begin with it as whole components."""
    known = tuple(names)
    same = same_name(written, known)
    return (same,) if same else tuple(name for name in known if name.casefold().startswith(f"{written.casefold()}-"))


def unknown_name(span: Span, what: str, names: Iterable[str], *, help: tuple[str, ...] = ()) -> Diagnostic:
    """N110: a name that nothing has, with the nearest that begin alike; or the beginning of several, all listed."""
    written, known = span.text.strip('"'), tuple(names)
    several = candidates(written, known)
    if len(several) > 1:
        return _of_several(span, what, several)
    near = several or meant(written, [name for name in known if name[:1].casefold() == written[:1].casefold()])
    notes = (f"known are {_listed(written, known)}",) if known else ()
    return UNKNOWN_NAME.at(
        span,
        f"there is no {what} `{span.text}`",
        "unknown name",
        notes=notes,
        help=(*asked(near), *help),
        fixes=spelling(span, near, known),
    )


def _of_several(span: Span, what: str, names: tuple[str, ...]) -> Diagnostic:
    listed = ", ".join(f"`{name}`" for name in names)
    message = f"`{span.text}` is ambiguous: it is the beginning of {len(names)} {what} names"
    return UNKNOWN_NAME.at(span, message, "ambiguous name", help=(f"name one of {listed}",))


def _listed(written: str, known: tuple[str, ...]) -> str:
    """All names where they are few, else those most like what is written and the number of the others."""
    if len(known) <= _LISTED:
        return ", ".join(known)
    likely = sorted(get_close_matches(written.casefold(), known, _LIKELY, cutoff=0.0))
    return f"{', '.join(likely)} and {len(known) - len(likely)} more"


_LISTED, _LIKELY = 20, 6
"""Names up to which all are listed, and how many are shown of more."""
