"""The models of what `dagc check --format json` prints: its published schema is generated from them.

Data only. Lines and columns count from 1, offsets from 0, all in characters. `SCHEMA_VERSION` grows when a field goes
or changes its meaning, not when one is added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dagc.report.summary import Domains, Pool, Record

SCHEMA_VERSION = 1


class Place(Record):
    """A character of a text."""

    line: int = Field(ge=1)
    column: int = Field(ge=1)
    offset: int = Field(ge=0)


class Span(Record):
    """Characters from `start` to before `end`. `file` is a path, `<stdin>`, `-e`, or an option that a block came by."""

    file: str
    start: Place
    end: Place


class Label(Record):
    """A secondary place and what it contributes."""

    span: Span
    text: str


class Edit(Record):
    """Replace the text of `span`."""

    span: Span
    replacement: str


class Fix(Record):
    """Edits that silence the diagnostic; `safe` when the deployment stays what it was."""

    title: str
    safe: bool
    edits: list[Edit]


class Diagnostic(Record):
    """One problem, for one cause. `severity` is that of this run; `span` is null for what has no place."""

    code: str = Field(pattern="^[A-Z][0-9]{3}$")
    name: str
    severity: Literal["error", "warning"]
    message: str
    span: Span | None
    label: str
    labels: list[Label]
    notes: list[str]
    help: list[str]
    fixes: list[Fix]


class Strategy(Record):
    """A well-typed strategy: the fields of its `summary.json` up to `domains`, which say what they are."""

    name: str
    strategy: str
    gpus: int
    derivation: list[str]
    naive_product: int
    replicas: int | None
    stages: int | None
    pools: list[Pool]
    domains: Domains | None


class CheckDocument(Record):
    """All diagnostics in the order of the text, and every strategy that has a meaning."""

    schema_version: Literal[1] = SCHEMA_VERSION
    diagnostics: list[Diagnostic]
    strategies: list[Strategy]
