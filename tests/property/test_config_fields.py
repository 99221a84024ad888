"""Whatever a field of a configuration holds, reading gives a model that can be counted, or a diagnostic; never more."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence
from dagc.catalog.huggingface.read import read_config
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import count
from dagc.diag.diagnostic import Diagnostic
from tests.unit.config_files import NAMES, fields_of

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200),
    st.sampled_from([10**9, 1.5, "", "x", "auto", [], [1], ["full_attention"], [[1]], {}, {"a": 1}, "MEM*", "0,1"]),
)


def places(fields: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every field, those of nested objects too."""
    found: list[tuple[str, ...]] = []
    for name, value in fields.items():
        found.append((name,))
        if isinstance(value, dict):
            found += [(name, *inner) for inner in places(value)]
    return found


@settings(max_examples=1500)
@given(st.sampled_from(NAMES), st.data())
def test_an_odd_field_is_named_or_harmless(name: str, data: st.DataObject) -> None:
    fields = json.loads(json.dumps(fields_of(name)))
    *path, last = data.draw(st.sampled_from(places(fields)))
    holder = fields
    for step in path:
        holder = holder[step]
    holder[last] = data.draw(ODD)
    spec = read_config(fields, "it")
    if isinstance(spec, Diagnostic):
        assert spec.code.code in {"N126", "N127"}
        return
    assert isinstance(spec, ModelSpec)
    shapes = spec.shapes()
    assert shapes is not None, spec.missing()
    assert count(shapes).total > 0
    assert kv_bytes_per_token(shapes) >= 0
    assert state_bytes_per_sequence(shapes) >= 0
