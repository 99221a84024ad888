"""What the functions take: a plan as text or path, and blocks as texts.

A text is read as it is; the paths in it start in the working directory, those of a file in its own.
"""

from __future__ import annotations

from pathlib import Path

from dagc.driver.outcome import Blocks
from dagc.source import MOST_PLAN_BYTES, Source, read_file


def sourced(plan: str | Path, name: str = "plan") -> tuple[Source, Path]:
    """The text of a plan, and where its paths start; `name` is that of a plan without a file.

    Raises OSError and UnicodeDecodeError for a file that cannot be read, ValueError for a path that is not a `Path`.
    """
    if isinstance(plan, str):
        if plan.endswith(".moe") and not any(map(str.isspace, plan)):
            raise ValueError(f"a string is the text of a plan; for the file, pass `Path({plan!r})`")
        return Source(name, plan), Path()
    path = Path(plan)
    text = read_file(path, MOST_PLAN_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    return Source(str(path), text), path.parent


def blocks_of(**blocks: object) -> Blocks:
    """The blocks that were given, each the text after its keyword. Raises TypeError for one that is no text."""
    given = {keyword: content for keyword, content in blocks.items() if content is not None}
    for keyword, content in given.items():
        if not isinstance(content, str):
            raise TypeError(f"`{keyword}` is the text of a block, not {type(content).__name__}")
    return tuple((keyword, Source(keyword, str(content))) for keyword, content in given.items())
