"""A summary becomes the bytes of `summary.json`; its models become the published schema.

Keys keep the order of the models, so the same summary gives the same bytes. The schema lies beside this module; when a
model changes, `python -m dagc.export.summary_json` writes it anew, and a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from dagc.report.summary import Summary

SCHEMA = Path(__file__).parent / "schemas" / "summary.schema.json"
"""The published schema, JSON Schema draft 2020-12."""


def to_json_bytes(summary: Summary) -> bytes:
    """The file's content, indented, ended by a newline."""
    return orjson.dumps(summary.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def schema_bytes() -> bytes:
    """The schema that the models imply, as its file holds it."""
    schema = Summary.model_json_schema(mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


if __name__ == "__main__":
    SCHEMA.write_bytes(schema_bytes())
