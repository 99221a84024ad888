"""Fields that nobody asked for.

After a model is read, every field of its file has been asked for, is known to be harmless, or belongs to a part of the
checkpoint that is not the language model (`TOWERS`). Any other is refused: it may hold a shape under a name that is not
known. Null says nothing and is let through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from dagc.catalog.huggingface.errors import OutsideField, UnknownFields
from dagc.catalog.huggingface.harmless import is_harmless, is_rotary_section

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
