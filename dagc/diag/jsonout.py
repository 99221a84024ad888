"""Diagnostics as plain data for JSON. Lines and columns count from 1, offsets from 0, all in characters."""

from __future__ import annotations

from typing import Any

from dagc.diag.diagnostic import Diagnostic, Fix
from dagc.source import Source, Span


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Every field of a diagnostic; `span` is None for what has no place."""
    return {
        "code": diagnostic.code.code,
        "name": diagnostic.code.name,
        "severity": str(diagnostic.severity),
        "message": diagnostic.message,
        "span": _span(diagnostic.span) if diagnostic.span else None,
        "label": diagnostic.label,
        "labels": [{"span": _span(label.span), "text": label.text} for label in diagnostic.labels],
        "notes": list(diagnostic.notes),
        "help": list(diagnostic.help),
        "fixes": [_fix(fix) for fix in diagnostic.fixes],
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {
        "title": fix.title,
        "safe": fix.safe,
        "edits": [{"span": _span(edit.span), "replacement": edit.replacement} for edit in fix.edits],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "file": span.source.name,
        "start": _place(span.source, span.start),
        "end": _place(span.source, span.end),
    }


def _place(source: Source, offset: int) -> dict[str, int]:
    line, column = source.position(offset)
    return {"line": line, "column": column, "offset": offset}
