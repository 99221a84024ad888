"""The explain pages: one Markdown file for each code, in this folder, read as package data."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"([A-Z][0-9]{3})\.md")


def page(code: str) -> str | None:
    """The page of a code such as `D203`, in any case of letters; None when there is none."""
    wanted = code.strip().upper()
    return (files(__name__) / f"{wanted}.md").read_text("utf-8") if wanted in codes() else None


def title(code: str) -> str:
    """Code and name, as its page has them in the first line: `D203 ep-exceeds-experts`. The page must exist."""
    first, _, _ = (files(__name__) / f"{code}.md").read_text("utf-8").partition("\n")
    return first.removeprefix("# ")


def codes() -> tuple[str, ...]:
    """Every code that has a page, in order."""
    names = (_NAME.fullmatch(entry.name) for entry in files(__name__).iterdir())
    return tuple(sorted(name[1] for name in names if name))
