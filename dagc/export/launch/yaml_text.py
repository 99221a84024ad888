"""Nested mappings and lists as YAML 1.1 and 1.2 in block style.

Strings are written plain where no reader takes them for anything else, and as JSON strings otherwise, which YAML reads
alike. Text of several lines is a literal block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from typing import Any, cast

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Plain words that some reader takes for a truth value or for nothing."""


def yaml_text(value: Mapping[str, Any]) -> str:
    """A document, with a line break at its end."""
    return "".join(f"{line}\n" for line in _mapping(value))


def documents(values: Sequence[Mapping[str, Any]]) -> str:
    """Documents in one file."""
    return "---\n".join(map(yaml_text, values))


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for key, one in value.items():
        yield from _entry(f"{_scalar(key)}:", one)


def _list(value: Sequence[Any]) -> Iterator[str]:
    for one in value:
        if isinstance(one, Mapping) and one:
            lines = _mapping(cast("Mapping[str, Any]", one))
            yield f"- {next(lines)}"
            yield from (f"  {line}" for line in lines)
        else:
            yield from _entry("-", one)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value and _is_block(value):
        yield f"{head} |" if value.endswith("\n") else f"{head} |-"
        yield from (f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping) and value:
        yield head
        yield from (f"  {line}" for line in _mapping(cast("Mapping[str, Any]", value)))
    elif isinstance(value, (list, tuple)) and value:
        yield head
        yield from (f"  {line}" for line in _list(cast("Sequence[Any]", value)))
    else:
        yield f"{head} {_scalar(value)}"


def _is_block(text: str) -> bool:
    """Whether a literal block gives the text back: printable, no space or break at either end but one break."""
    lines = text.removesuffix("\n").split("\n")
    ends = lines[0] and not lines[0].startswith(" ") and lines[-1]
    return bool(ends) and all(line.isprintable() for line in lines)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.casefold() not in _WORDS:
        return value
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, float):
        mantissa, sign, exponent = repr(value).partition("e")
        return f"{mantissa}{'' if '.' in mantissa else '.0'}{sign}{exponent}"  # 1e+16 is a string in YAML 1.1
    # Above the basic plane JSON's escapes are pairs, which YAML does not join.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in dumps(value, ensure_ascii=False))
