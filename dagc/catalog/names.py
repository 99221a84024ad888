"""What is said of a name that no preset has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import spelling
from dagc.source import Span
from dagc.units import nearest

UNKNOWN_NAME = Code("N110", "unknown-name")


def unknown_name(span: Span, what: str, names: Iterable[str], *, help: tuple[str, ...] = ()) -> Diagnostic:
    """N110: a preset's or another name that nothing has, with the nearest one offered and the known ones listed."""
    known = tuple(names)
    near = nearest(span.text.strip('"'), known)
    offer = (f"did you mean `{near}`?",) if near else ()
    fixes = spelling(span, near, known)
    notes = (f"known are {_listed(span.text, known)}",) if known else ()
    return UNKNOWN_NAME.at(
        span, f"there is no {what} `{span.text}`", "unknown name", notes=notes, help=(*offer, *help), fixes=fixes
    )


def _listed(written: str, known: tuple[str, ...]) -> str:
    """All names where they are few, else those most like what is written and the number of the others."""
    if len(known) <= _LISTED:
        return ", ".join(known)
    likely = sorted(get_close_matches(written, known, _LIKELY, cutoff=0.0))
    return f"{', '.join(likely)} and {len(known) - len(likely)} more"


_LISTED, _LIKELY = 20, 6
"""Names up to which all are listed, and how many are shown of more."""
