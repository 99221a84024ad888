"""A key by content: facts that are the same have the same key, wherever they were written.

Walks data of dataclasses, enums, mappings, sequences and plain values; places in texts do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, cast

from dagc.source import Span


def content_key(*parts: object) -> str:
    """The SHA-256 of what the parts hold, in hexadecimal."""
    digest = sha256()
    for token in _tokens(parts):
        digest.update(token.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _tokens(value: Any) -> Iterable[str]:
    if isinstance(value, Span) or value is None:
        yield "-"
    elif isinstance(value, Enum):
        yield str(value.value)
    elif is_dataclass(value):
        yield type(value).__name__
        for one in fields(value):
            if one.name not in ("span", "spans"):
                yield one.name
                yield from _tokens(getattr(value, one.name))
    elif isinstance(value, Mapping):
        yield "{"
        for key, held in cast("Mapping[Any, Any]", value).items():
            yield from (*_tokens(key), *_tokens(held))
        yield "}"
    elif isinstance(value, tuple | list | frozenset | set):
        yield "["
        items = cast("Iterable[Any]", value)
        for item in sorted(items, key=str) if isinstance(value, frozenset | set) else items:
            yield from _tokens(item)
        yield "]"
    else:
        yield repr(value)
