"""The schema of what `dagc search --format json` prints, from its models.

The schema lies beside this module; when a model changes, `python -m dagc.export.search_json` writes it anew, and a
test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from dagc.report.search_result import SearchResult

SCHEMA = Path(__file__).parent / "schemas" / "search.schema.json"
"""The published schema, JSON Schema draft 2020-12."""


def schema_bytes() -> bytes:
    """The schema that the models imply, as its file holds it."""
    schema = SearchResult.model_json_schema(mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


def result_bytes(result: SearchResult) -> bytes:
    """The file of a result."""
    return orjson.dumps(result.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    SCHEMA.write_bytes(schema_bytes())
