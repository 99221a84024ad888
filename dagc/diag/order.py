"""The order in which diagnostics are shown: by source, by place, by code."""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Diagnostic


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sources in the order of their names, what has no place first; equals stay as they came.

    What the strategies of a plan are told of the same words of the plan is said once.
    """
    distinct: dict[tuple[object, ...], Diagnostic] = {}
    for one in diagnostics:
        distinct.setdefault((*_key(one), one.message, one.label), one)
    return tuple(sorted(distinct.values(), key=_key))


def _key(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    span, code = diagnostic.span, diagnostic.code.code
    return ("", -1, -1, code) if span is None else (span.source.name, span.start, span.end, code)
