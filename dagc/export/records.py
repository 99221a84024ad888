"""Records of results as JSON, and the published schemas that their annotations imply.

The same record gives the same bytes. The schemas lie in a folder beside this module; when a record changes, `python -m
dagc.export.records` rewrites them, and a test compares the two.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

_RECORDS = {
    "bench": "dagc.results.bench.BenchResult",
    "check": "dagc.results.check_document.CheckDocument",
    "comparison": "dagc.results.comparison.Comparison",
    "search": "dagc.results.search_result.SearchResult",
    "simulation": "dagc.results.simulation.SimulationResult",
    "summary": "dagc.results.summary.Summary",
    "whatif": "dagc.results.whatif.WhatIf",
}
"""The documents by the name of their schema."""


def json_bytes(record: object) -> bytes:
    """The file of a record, indented, ended by a newline."""
    return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def plain(record: object) -> Any:
    """A record as what its JSON is read back to: dictionaries, lists, numbers and text."""
    return orjson.loads(orjson.dumps(record))


def schema_file(name: str) -> Path:
    """The published schema of a document, JSON Schema draft 2020-12."""
    return Path(__file__).parent / "schemas" / f"{name}.schema.json"


def schema_bytes(name: str) -> bytes:
    """The schema that the annotations imply, as its file holds it."""
    from pydantic import TypeAdapter

    module, _, record = _RECORDS[name].rpartition(".")
    schema = TypeAdapter(getattr(import_module(module), record)).json_schema(mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


if __name__ == "__main__":
    for document in _RECORDS:
        schema_file(document).write_bytes(schema_bytes(document))
