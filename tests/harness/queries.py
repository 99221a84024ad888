"""Queries that a page shows, with the tables that they print: `sql` blocks, each with a `text` block after it.

Turns the rows of the trace processor into text: columns as wide as they must be, numbers on the right, as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.harness.markdown import Block, fenced_blocks
from tests.harness.traceprocessor import TraceProcessor


def shown_queries(page: Path) -> list[tuple[Block, Block]]:
    """Each query and its answer. Raises ValueError where an answer is missing."""
    blocks = fenced_blocks(page.read_text(encoding="utf-8"))
    found = [(one, after) for one, after in pairwise(blocks) if one.language == "sql" and after.language == "text"]
    if len(found) < sum(block.language == "sql" for block in blocks):
        raise ValueError(f"{page.name}: a query has no answer")
    return found


def answer(processor: TraceProcessor, sql: str) -> str:
    """The rows of a query as text."""
    rows = processor.query(sql)
    if not rows:
        return "\n"
    table = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    numeric = [not isinstance(value, str) for value in rows[0].values()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "".join(f"{_line(line, widths, numeric)}\n" for line in table)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = zip(cells, widths, numeric, strict=True)
    return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in parts).rstrip()


def _text(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
