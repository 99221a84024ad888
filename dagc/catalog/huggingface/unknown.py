"""Fields that nobody asked for.

After a model is read, every field of its file has been asked for, is known to be harmless, or belongs to a part of the
checkpoint that is not the language model (`TOWERS`). Any other is refused: it may hold a shape under a name that is not
known. Null says nothing and is let through.

Fields that change no figure of a language model: `harmless.json` lists them by the reason why.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, cast

from dagc.catalog.huggingface.fields import OutsideField, UnknownFields

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
TOWERS = ("vision_config", "audio_config", "vision_tower_config", "talker_config", "code2wav_config")
SHARED = ("quantization_config", "torch_dtype", "dtype", "tie_word_embeddings")
"""Fields that hold for the text part too where a file states them outside of it."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """The fields of the language model; `path` leads to where they are in the file, `outside` are the levels above.

    `data` has what the levels above state for the whole model.
    """

    data: Mapping[str, Any]
    path: tuple[str, ...] = ()
    outside: tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...] = ()

    def place(self, field: str) -> str:
        """The path from the root of the file of a field of the text part."""
        found: object = self._inner().get(field.split(".")[0])
        return field if found is None and field.split(".")[0] in SHARED else ".".join((*self.path, field))

    def _inner(self) -> Mapping[str, Any]:
        """The text part as it is in the file."""
        if not self.outside:
            return self.data
        path, level = self.outside[-1]
        return cast("Mapping[str, Any]", level[self.path[len(path)]])


def text_part(data: Mapping[str, Any]) -> TextPart:
    """The innermost text part of a file, with what the levels above it state for the whole model."""
    part = TextPart(data)
    while (name := next((n for n in TEXT_PARTS if isinstance(part.data.get(n), Mapping)), None)) is not None:
        level = part.data
        shared = {field: level[field] for field in ("model_type", *SHARED) if level.get(field) is not None}
        inner = cast("Mapping[str, Any]", level[name])
        part = TextPart({**shared, **inner}, (*part.path, name), (*part.outside, (part.path, level)))
    return part


def refuse_unknown(part: TextPart, asked: set[str]) -> None:
    """Raises `UnknownFields` with all fields that are neither asked for nor harmless."""
    found = [part.place(path) for path in _unknown(part.data, "", asked)]
    for path, level in part.outside:
        found += _outside(path, level, part, asked)
    if found:
        raise UnknownFields(found)


def _unknown(fields: Mapping[str, Any], prefix: str, asked: set[str]) -> Iterator[str]:
    for name, value in fields.items():
        path = prefix + name
        if value is None or name == "model_type" or name in TOWERS:
            continue
        if isinstance(value, Mapping) and _is_section(path, asked):
            yield from _unknown(cast("Mapping[str, Any]", value), f"{path}.", asked)
        elif path not in asked and not is_harmless(path, cast("object", value)):
            yield path


def _is_section(path: str, asked: set[str]) -> bool:
    """Whether fields inside an object are known."""
    return is_rotary_section(path) or any(other.startswith(f"{path}.") for other in asked)


def _outside(path: tuple[str, ...], level: Mapping[str, Any], part: TextPart, asked: set[str]) -> Iterator[str]:
    """Fields of a level above the text part that the text part should state."""
    for name, value in level.items():
        if value is None or name in (*TEXT_PARTS, *TOWERS, *SHARED, "model_type") or is_harmless(name, value):
            continue
        if name not in asked and not _is_section(name, asked):
            yield ".".join((*path, name))
        elif part.data.get(name) != value:
            raise OutsideField(
                ".".join((*path, name)), f"is stated outside of `{part.path[-1]}`, which does not say the same"
            )


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
