"""Fields that change no figure of a language model: `harmless.json` lists them by the reason why.

A field of a configuration is read, is one of these, or is refused by name: a shape under a name that is not known would
otherwise be taken for absent. The names are those of the configuration classes of `transformers`, and of those that
checkpoints bring along. What an architecture reads counts before this list. The file has

- `groups`: fields that are harmless whatever they say, by reason; `patterns`, names of token ids that vary;
- `neutral`: fields that are harmless under the values listed and refused under others;
- `rotary`: fields of the sections on rotary positions (`rotary_sections`, with one inside for each of `rotary_kinds`
  of layers), which scale angles and have no weights;
- `quantisation`: fields of `quantization_config` that change no stored weight: how it was made, and how activations are
  converted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, cast

_DATA = Path(__file__).with_name("harmless.json")
_QUANTISATION = "quantization_config"


def is_harmless(path: str, value: object) -> bool:
    """Whether the field of a path in the text part changes no figure, whatever its value or with this one."""
    *section, name = path.split(".")
    if section and section[0] in _data()["rotary_sections"]:
        return name in _data()["rotary"]
    if section and section[0] == _QUANTISATION:
        return name in _data()["quantisation"]
    if name in _data()["neutral"]:
        return any(type(value) is type(known) and value == known for known in _data()["neutral"][name])
    return not {name, path}.isdisjoint(harmless_names()) or any(fnmatchcase(name, one) for one in _data()["patterns"])


def is_rotary_section(path: str) -> bool:
    """Whether an object of a path holds fields on rotary positions."""
    section, *kinds = path.split(".")
    return section in _data()["rotary_sections"] and (
        not kinds or (kinds[0] in _data()["rotary_kinds"] and not kinds[1:])
    )


@cache
def harmless_names() -> frozenset[str]:
    """Names of fields that are harmless wherever they are and whatever they say."""
    groups = cast("Mapping[str, list[str]]", _data()["groups"])
    return frozenset(name for names in groups.values() for name in names)


@cache
def _data() -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", json.loads(_DATA.read_text("utf-8")))
