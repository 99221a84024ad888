"""The models of `dagc whatif --format json` become the published schema.

The schema lies beside this module; when a model changes, `python -m dagc.export.whatif_json` writes it anew, and a
test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from dagc.report.whatif import WhatIf

SCHEMA = Path(__file__).parent / "schemas" / "whatif.schema.json"
"""The published schema, JSON Schema draft 2020-12."""


def schema_bytes() -> bytes:
    """The schema that the models imply, as its file holds it."""
    schema = WhatIf.model_json_schema(mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


if __name__ == "__main__":
    SCHEMA.write_bytes(schema_bytes())
