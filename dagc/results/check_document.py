"""The record of what `dagc check --format json` prints.

Data only. Lines and columns count from 1, offsets from 0, all in characters.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dagc.results.record import Positive, Versioned, record
from dagc.results.summary import Structure


@record
class Place:
    """A character of a text."""

    line: Positive
    column: Positive
    offset: Annotated[int, Field(ge=0)]


@record
class Span:
    """Characters from `start` to before `end`. `file` is a path, `<stdin>`, `-e`, or an option that a block came by."""

    file: str
    start: Place
    end: Place


@record
class Label:
    """A secondary place and what it contributes."""

    span: Span
    text: str


@record
class Edit:
    """Replace the text of `span`."""

    span: Span
    replacement: str


@record
class Fix:
    """Edits that silence the diagnostic; `safe` when the deployment stays what it was."""

    title: str
    safe: bool
    edits: list[Edit]


@record
class Diagnostic:
    """One problem, for one cause. `severity` is that of this run; `span` is null for what has no place."""

    code: Annotated[str, Field(pattern="^[A-Z][0-9]{3}$")]
    name: str
    severity: Literal["error", "warning"]
    message: str
    span: Span | None
    label: str
    labels: list[Label]
    notes: list[str]
    help: list[str]
    fixes: list[Fix]


@record
class CheckDocument(Versioned):
    """All diagnostics in the order of the text, and every strategy that has a meaning."""

    diagnostics: list[Diagnostic]
    strategies: list[Structure]
