"""The record of what `dagc check --format json` prints.

Data only. Lines and columns count from 1, offsets from 0, all in characters.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dagc.results.record import Positive, Versioned, record
from dagc.results.summary import StructureRecord


@record
class PlaceRecord:
    """A character of a text."""

    line: Positive
    column: Positive
    offset: Annotated[int, Field(ge=0)]


@record
class SpanRecord:
    """Characters from `start` to before `end`. `file` is a path, `<stdin>`, `-e`, or an option that a block came by."""

    file: str
    start: PlaceRecord
    end: PlaceRecord


@record
class LabelRecord:
    """A secondary place and what it contributes."""

    span: SpanRecord
    text: str


@record
class EditRecord:
    """Replace the text of `span`."""

    span: SpanRecord
    replacement: str


@record
class FixRecord:
    """Edits that silence the diagnostic; `safe` when the deployment stays what it was."""

    title: str
    safe: bool
    edits: list[EditRecord]


@record
class DiagnosticRecord:
    """One problem, for one cause. `severity` is that of this run; `span` is null for what has no place."""

    code: Annotated[str, Field(pattern="^[A-Z][0-9]{3}$")]
    name: str
    severity: Literal["error", "warning"]
    message: str
    span: SpanRecord | None
    label: str
    labels: list[LabelRecord]
    notes: list[str]
    help: list[str]
    fixes: list[FixRecord]


@record
class CheckDocument(Versioned):
    """All diagnostics in the order of the text, and every strategy that has a meaning."""

    diagnostics: list[DiagnosticRecord]
    strategies: list[StructureRecord]
