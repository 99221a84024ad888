"""Rows as aligned columns of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal


def columns(rows: Sequence[Sequence[str]], align: Literal["<", ">"] = "<") -> Iterator[str]:
    """Columns as wide as their widest cell, two blanks apart, blanks at the end cut; the first one to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:{align}{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells]).rstrip()
