"""Command lines of engines, each version in a table: what its own parser takes.

A table is `ENGINE-VERSION.csv` with a row a flag: its name, its other spellings, its kind (`switch`, `count`, `number`,
`text`, `json`, `list`) and, where only some are taken, its values. `sources.csv` says where each was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RecordedFlag:
    """One flag of an engine's parser; without `values` any of its kind is taken."""

    name: str
    kind: str
    values: tuple[str, ...]


@cache
def recorded_flags(engine: str, version: str) -> Mapping[str, RecordedFlag]:
    """The flags of an engine's version by each of their spellings; none where it has no table."""
    table = Path(__file__).parent / f"{engine}-{version}.csv"
    if not table.is_file():
        return {}
    import csv  # a plan without an engine asks for no table

    found: dict[str, RecordedFlag] = {}
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        flag = RecordedFlag(row["flag"], row["kind"], tuple(row["values"].split()))
        found |= dict.fromkeys((flag.name, *row["others"].split()), flag)
    return found
