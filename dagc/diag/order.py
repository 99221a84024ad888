"""The order in which diagnostics are shown: by source, by place, by code."""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Diagnostic


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sources in the order of their names, what has no place first; equals stay as they came."""
    return tuple(sorted(diagnostics, key=_key))


def _key(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    span, code = diagnostic.span, diagnostic.code.code
    return ("", -1, -1, code) if span is None else (span.source.name, span.start, span.end, code)
