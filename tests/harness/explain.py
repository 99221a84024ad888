"""Explain pages as data: what a code means, with a plan that raises it and one that does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.harness.checking import check
from tests.harness.markdown import Block, fenced_blocks, headings

TITLE = re.compile(r"(?P<code>[A-Z]\d{3}) (?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)")
SUMMARY = re.compile(r"^\*\*(?P<severity>error|warning)(?P<off>, off by default)?\.\*\* \S", re.MULTILINE)
SECTIONS = ["Why", "Example", "Use instead", "References"]


@dataclass(frozen=True, slots=True)
class ExplainPage:
    """One page. Examples of codes that no text can raise are empty: their blocks are `~~~text`."""

    path: Path
    code: str
    name: str
    severity: str
    is_default: bool
    examples: tuple[str, ...]
    instead: tuple[str, ...]


def read(path: Path) -> ExplainPage:
    """Read a page. Raises ValueError where it breaks the format."""
    text = path.read_text(encoding="utf-8")
    title, *sections = headings(text)
    heading = TITLE.fullmatch(title)
    summary = SUMMARY.search(text)
    if heading is None or summary is None or sections != SECTIONS:
        raise ValueError(f"{path.name}: a page is `# CODE kebab-name`, `**error.** …`, and the sections {SECTIONS}")
    blocks = fenced_blocks(text)
    example, instead = _plans(path, blocks, "Example"), _plans(path, blocks, "Use instead")
    return ExplainPage(
        path, heading["code"], heading["name"], summary["severity"], summary["off"] is None, example, instead
    )


def complaints(page: ExplainPage) -> list[str]:
    """Where the compiler does not do as a page says; empty when the example raises its code alone, the twin nothing."""
    found: list[str] = []
    for section, plans, wanted in (
        ("Example", page.examples, {(page.severity, page.code)}),
        ("Use instead", page.instead, set[tuple[str, str]]()),
    ):
        for plan in plans:
            raised = {(finding.severity, finding.code) for finding in check(plan, page.path.name).findings}
            if raised != wanted:
                found.append(f"{page.code}, {section}: raised {sorted(raised)}, not {sorted(wanted)}")
    return found


def _plans(path: Path, blocks: list[Block], section: str) -> tuple[str, ...]:
    shown = [block for block in blocks if block.heading == section]
    if not shown or any(block.language not in ("moe", "text") for block in shown):
        raise ValueError(f"{path.name}: `## {section}` shows plans, in `~~~moe` or, where none can be run, `~~~text`")
    return tuple(block.text for block in shown if block.language == "moe")
