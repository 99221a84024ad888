"""Renders diagnostics one a line, as editors and `grep` read them: `plan.moe:7:27: error[D203] message`."""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """A line each, in the given order, no end of line after the last; what has no place starts with its severity."""
    return "\n".join(_line(diagnostic) for diagnostic in diagnostics)


def _line(diagnostic: Diagnostic) -> str:
    what = f"{diagnostic.severity}[{diagnostic.code.code}] {escape(diagnostic.message)}"
    if diagnostic.span is None:
        return what
    source = diagnostic.span.source
    line, column = source.position(diagnostic.span.start)
    return f"{escape(source.name)}:{line}:{column}: {what}"
