"""The lines of a result as `dagc search` writes it, so that what is wrong in it has a place.

The file is JSON with an indentation of two, each number and text on a line of its own; a file that is not as its own
content is written is refused, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

Path = tuple[str | int, ...]
"""Keys and places from the document down to a value."""


def lines(document: Any) -> dict[Path, int]:
    """The line, from 1 on, on which the value of each path begins."""
    return dict(_lines((), document, [1]))


def _lines(path: Path, value: Any, at: list[int]) -> Iterator[tuple[Path, int]]:
    """`at` is the line of the value; it is that of its end afterwards."""
    yield path, at[0]
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = cast("dict[str | int, Any]", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    is_empty = True
    for key, held in items:
        is_empty = False
        at[0] += 1
        yield from _lines((*path, key), held, at)
    if not is_empty:
        at[0] += 1
