"""What is said of a name that no preset has."""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import spelling
from dagc.source import Span
from dagc.units import nearest

UNKNOWN_NAME = Code("N110", "unknown-name")


def unknown_name(span: Span, what: str, names: Iterable[str], *, help: tuple[str, ...] = ()) -> Diagnostic:
    """N110: a preset's or another name that nothing has, with the nearest one offered and all listed."""
    known = tuple(names)
    near = nearest(span.text.strip('"'), known)
    offer = (f"did you mean `{near}`?",) if near else ()
    fixes = spelling(span, near, known)
    notes = (f"known are {', '.join(known)}",) if known else ()
    return UNKNOWN_NAME.at(
        span, f"there is no {what} `{span.text}`", "unknown name", notes=notes, help=(*offer, *help), fixes=fixes
    )
