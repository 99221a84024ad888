"""Whatever a field of a configuration holds, reading gives a model that can be counted, or a diagnostic; never more.

And no field is passed over: one that is added anywhere is refused with its line, one that is renamed is refused or
leaves the model as it was, and only fields that are listed as harmless may come and go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.cache import kv_bytes_per_token, state_bytes_per_sequence
from dagc.catalog.huggingface.read import read_config
from dagc.catalog.huggingface.unknown import TEXT_PARTS, TOWERS, harmless_names, is_harmless
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import count
from dagc.diag.diagnostic import Diagnostic
from dagc.source import Source
from tests.harness.effort import examples
from tests.unit.config_files import NAMES, fields_of
from tests.unit.test_catalog_families import FAMILIES

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200),
    st.sampled_from([10**9, 1.5, "", "x", "auto", [], [1], ["full_attention"], [[1]], {}, {"a": 1}, "MEM*", "0,1"]),
)
ALL = {name: fields_of(name) for name in NAMES} | {name: fields for name, (fields, _) in FAMILIES.items()}
"""Configurations of every kind of architecture."""

ADDED: tuple[Any, ...] = (7, 0, 1.5, [7], [], {"a": 7}, {}, "x", True, False)


def places(fields: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every field, those of nested objects too."""
    found: list[tuple[str, ...]] = []
    for name, value in fields.items():
        found.append((name,))
        if isinstance(value, dict):
            found += [(name, *inner) for inner in places(value)]
    return found


def held(fields: dict[str, Any], path: tuple[str, ...]) -> Any:
    for step in path:
        fields = fields[step]
    return fields


def of_the_model(name: str) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Every field of the language model in turn, each with a copy of the whole file."""
    for path in places(ALL[name]):
        if not set(path) & set(TOWERS):
            yield json.loads(json.dumps(ALL[name])), path


def reread(fields: dict[str, Any]) -> ModelSpec | Diagnostic:
    """From a text, so that messages have lines."""
    text = json.dumps(fields, indent=1)
    return read_config(json.loads(text), "it", text=Source("config.json", text))


@settings(max_examples=examples(200, 500))
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
        assert spec.code.code in {"N126", "N127", "N129"}
        return
    assert isinstance(spec, ModelSpec)
    shapes = spec.shapes()
    assert shapes is not None, spec.missing()
    assert count(shapes).total > 0
    assert kv_bytes_per_token(shapes) >= 0
    assert state_bytes_per_sequence(shapes) >= 0


@pytest.mark.parametrize("value", ADDED, ids=repr)
@pytest.mark.parametrize("name", ALL)
def test_a_field_that_is_added_anywhere_is_refused_with_its_line(name: str, value: object) -> None:
    sections = [(), *(path for path in places(ALL[name]) if isinstance(held(ALL[name], path), dict))]
    for section in sections:
        if set(section) & set(TOWERS):
            continue
        fields = json.loads(json.dumps(ALL[name]))
        held(fields, section)["unheard_of"] = value
        problem = reread(fields)
        assert isinstance(problem, Diagnostic), section
        assert ".".join((*section, "unheard_of")) in problem.message
        assert any(label.span.text == '"unheard_of"' for label in problem.labels)


@pytest.mark.parametrize("name", ALL)
def test_a_field_under_another_name_is_not_passed_over(name: str) -> None:
    for fields, (*section, field) in of_the_model(name):
        holder = held(fields, tuple(section))
        if is_harmless(".".join(part for part in (*section, field) if part not in TEXT_PARTS), holder[field]):
            continue
        holder[f"{field}_"] = holder.pop(field)
        spec = reread(fields)
        if section[-1:] == ["config_groups"]:  # names that authors choose
            assert spec == read_config(ALL[name], "it")
            continue
        assert isinstance(spec, Diagnostic), (*section, field)


@pytest.mark.parametrize("name", ALL)
def test_harmless_fields_may_come_and_go(name: str) -> None:
    """All that are listed, at once and with odd values; and each that the file has, one by one."""
    whole = read_config(ALL[name], "it")
    fields = ALL[name]
    text = next((fields[part] for part in TEXT_PARTS if part in fields), fields)
    more = {field: [7] for field in harmless_names() - READ if field not in text}
    assert isinstance(whole, ModelSpec)
    assert read_config({**fields, **more} if text is fields else {**fields, **_inside(fields, more)}, "it") == whole
    for lesser, (*section, field) in of_the_model(name):
        holder = held(lesser, tuple(section))
        path = ".".join(part for part in (*section, field) if part not in TEXT_PARTS)
        if holder[field] is not None and is_harmless(path, holder[field]) and field not in READ:
            del holder[field]
            assert read_config(lesser, "it") == whole, path


READ = frozenset({"no_rope_layers", "no_rope_layer_interval", "attention_bias", "mlp_bias", "use_bias"})
"""Harmless fields that some architecture reads."""


def _inside(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    (part,) = (part for part in TEXT_PARTS if part in fields)
    return {part: {**fields[part], **more}}
