"""The documentation as its tests and `refresh` read it: its pages, and the files that each puts beside its consoles.

A block whose label has a dot, such as `moe recipe.moe`, is a file of that name for all consoles of the page. A console
labelled `slow` takes more than a second or two.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness.markdown import fenced_blocks
from tests.harness.places import EXAMPLES, ROOT

DOCS = sorted((ROOT / "docs").rglob("*.md"))


def name(page: Path) -> str:
    """A page as test ids show it: `questions/fit`."""
    return page.relative_to(ROOT / "docs").with_suffix("").as_posix()


def prepare(text: str, directory: Path) -> None:
    """Put what the consoles of a page need into a directory: the examples, and the files that the page shows."""
    if not (directory / "examples").exists():
        (directory / "examples").symlink_to(EXAMPLES)
    for block in fenced_blocks(text):
        for label in block.labels:
            if "." in label:
                (directory / label).write_text(block.text, encoding="utf-8")
