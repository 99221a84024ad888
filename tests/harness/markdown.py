"""Markdown into headings and fenced blocks: as much of Markdown as literate tests need.

A fence is a line of three or more backticks or tildes; its block ends at a line of the same fence. The words after
the fence are the block's language and its labels (`sh tests`). Assumes that no block is indented.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
HEADING = re.compile(r"#{1,6}\s+(?P<title>.*\S)\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line` is that of its first line of text in the page, counted from 1."""

    heading: str
    language: str
    labels: tuple[str, ...]
    text: str
    line: int


def fenced_blocks(page: str) -> list[Block]:
    """All fenced blocks of a page in order, each with the title of the nearest heading above it.

    Raises ValueError when a block does not end.
    """
    blocks: list[Block] = []
    heading = ""
    lines = enumerate(page.splitlines(), start=1)
    for number, line in lines:
        if title := HEADING.match(line):
            heading = title["title"]
        elif opening := FENCE.match(line):
            text: list[str] = []
            for _, inner in lines:
                if inner.rstrip() == opening["fence"]:
                    break
                text.append(inner)
            else:
                raise ValueError(f"the block that opens in line {number} does not end")
            language, *labels = opening["info"].split() or [""]
            blocks.append(Block(heading, language, tuple(labels), "".join(f"{line}\n" for line in text), number + 1))
    return blocks


def headings(page: str) -> list[str]:
    """Titles of all headings outside of blocks, without their `#`."""
    titles: list[str] = []
    fence = ""
    for line in page.splitlines():
        if fence:
            fence = "" if line.rstrip() == fence else fence
        elif opening := FENCE.match(line):
            fence = opening["fence"]
        elif title := HEADING.match(line):
            titles.append(title["title"])
    return titles
