"""Renders diagnostics as SARIF 2.1.0, the exchange format of static analysis (OASIS standard, errata 01).

A log of one run: the codes that occur as rules with their explain pages, and a result for each diagnostic with its
place, its labels as related locations, and its fixes. Columns count characters, so `columnKind` says so. Text that came
by an option has the option's name in place of a file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagc.diag import explain
from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix
from dagc.source import Source, Span

Data = dict[str, Any]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(diagnostics: Sequence[Diagnostic], version: str) -> Data:
    """The log as plain data; `version` is that of the compiler."""
    codes = {diagnostic.code.code: diagnostic.code for diagnostic in diagnostics}
    order = sorted(codes)
    driver = {"name": "dagc", "version": version, "rules": [_rule(codes[code]) for code in order]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, order.index(diagnostic.code.code)) for diagnostic in diagnostics],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> Data:
    summary, page = explain.summary(code.code), explain.page(code.code) or ""
    return {
        "id": code.code,
        "name": code.name,
        "shortDescription": {"text": summary or code.name},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"enabled": code.is_default, "level": str(code.severity)},
    }


def _result(diagnostic: Diagnostic, rule: int) -> Data:
    span = diagnostic.span
    return {
        "ruleId": diagnostic.code.code,
        "ruleIndex": rule,
        "level": str(diagnostic.severity),
        "message": {"text": _text(diagnostic)},
        "locations": [_location(span, diagnostic.label)] if span else [],
        "relatedLocations": [
            {"id": number, **_location(label.span, label.text)} for number, label in enumerate(diagnostic.labels)
        ],
        "fixes": [_fix(fix) for fix in dict.fromkeys(diagnostic.fixes)],
    }


def _text(diagnostic: Diagnostic) -> str:
    notes = (f"note: {note}" for note in diagnostic.notes)
    helps = (f"help: {text}" for text in diagnostic.help)
    return "\n".join([diagnostic.message, *notes, *helps])


def _location(span: Span, text: str) -> Data:
    place = {"artifactLocation": {"uri": _uri(span.source)}, "region": _region(span)}
    return {"physicalLocation": place, **({"message": {"text": text}} if text else {})}


def _region(span: Span) -> Data:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


def _fix(fix: Fix) -> Data:
    by_source: dict[int, list[Edit]] = {}
    for edit in fix.edits:
        by_source.setdefault(id(edit.span.source), []).append(edit)
    return {
        "description": {"text": fix.title},
        "artifactChanges": [_change(edits) for edits in by_source.values()],
        "properties": {"applicability": "safe" if fix.safe else "unsafe"},
    }


def _change(edits: Iterable[Edit]) -> Data:
    first, *rest = edits
    replacements = [
        {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.replacement}} for edit in (first, *rest)
    ]
    return {"artifactLocation": {"uri": _uri(first.span.source)}, "replacements": replacements}


def _uri(source: Source) -> str:
    """A path as a URI: absolute ones whole, relative ones as they were given."""
    path = Path(source.name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
