"""Documents read back to the records of results: every key is known and has its type."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def read_record(kind: type[T], document: str | bytes) -> T:
    """The record that a JSON document holds. Raises pydantic's `ValidationError` on another one."""
    return TypeAdapter(kind).validate_json(document)
