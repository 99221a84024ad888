"""What a record of a result is: a frozen dataclass whose fields, in their order, are its JSON.

`orjson` writes records as they are. The published schemas are generated from their annotations by pydantic, which
nothing else loads. Fields are set by keyword; a record has no `cached_property`, which would become a key of its JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from reprlib import Repr
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

_T = TypeVar("_T")

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[_T]) -> type[_T]:
    """A class as a record: immutable, and nothing beside the declared fields.

    Its title in the schema is its name without "Record", which the class has where another has the same noun.
    """
    config = {"extra": "forbid", "title": cls.__name__.removesuffix("Record")}
    for name, value in (("__repr__", _repr), ("__eq__", _eq), ("__pydantic_config__", config)):
        setattr(cls, name, value)
    # Methods that all records share are not generated for each, which start-up would wait for.
    return dataclass(frozen=True, kw_only=True, repr=False, eq=False, match_args=False)(cls)


def _eq(self: Any, other: object) -> bool:
    return type(self) is type(other) and vars(self) == vars(other)


def _repr(self: Any) -> str:
    """One line, long values cut: a plan of many GPUs has a part for each class of them."""
    parts = ", ".join(f"{field.name}={_SHORT.repr(getattr(self, field.name))}" for field in fields(self))
    return f"{type(self).__name__}({parts})"


class _PositiveSchema:
    """Marks a number of at least 1 in a schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core), "minimum": 1}


Positive = Annotated[int, _PositiveSchema()]
"""A number of at least 1."""


@record
class Versioned:
    """A document. The version grows when a field goes or changes its meaning, not when one is added."""

    schema_version: Literal[1] = 1
