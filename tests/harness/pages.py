"""Literate test pages into cases, and cases into complaints.

A page is prose with plans in it. A `~~~moe` block is a plan; a comment `# error: [D203]` or `# warning: [W101]` in it
states that a diagnostic of this code has its primary place on this line, several codes in several brackets. Every
error that is raised must be stated and the other way round; warnings are compared only in blocks that state one. A
`~~~figures` block right after a plan states values of its summaries, `strategy.path = value`, one a line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.checking import Checked, Finding
from tests.harness.markdown import Block, fenced_blocks

STATEMENT = re.compile(r"#\s*(?P<severity>error|warning):\s*(?P<codes>(?:\[[A-Z]\d+\]\s*)+)")
CODE = re.compile(r"\[([A-Z]\d+)\]")
MISSING = object()


@dataclass(frozen=True, slots=True)
class Figure:
    """A stated value: `path` starts with the strategy's name, list items are named by their index."""

    path: str
    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """One plan of a page, with what the page states of it. `line` is that of the plan's first line in the page."""

    page: Path
    line: int
    plan: str
    stated: frozenset[Finding]
    figures: tuple[Figure, ...]

    @property
    def name(self) -> str:
        """Page and line, as test ids and complaints show them."""
        return f"{self.page.name}:{self.line}"


def cases(page: Path) -> list[Case]:
    """All plans of a page. Raises ValueError where a page breaks the format."""
    found: list[Case] = []
    blocks = fenced_blocks(page.read_text(encoding="utf-8"))
    for block, following in zip(blocks, [*blocks, None][1:], strict=True):
        if block.language == "figures" and (block is blocks[0] or _before(blocks, block).language != "moe"):
            raise ValueError(f"{page.name}:{block.line}: figures must follow a plan")
        if block.language == "moe":
            figures = _figures(following) if following and following.language == "figures" else ()
            found.append(Case(page, block.line, block.text, _statements(block.text), figures))
    return found


def complaints(case: Case, check: Callable[[str, str], Checked]) -> list[str]:
    """What the compiler says of a plan that the page does not, and the other way round; empty when they agree."""
    checked = check(case.plan, case.name)
    compared = {"error"} | {finding.severity for finding in case.stated}
    raised = {Finding(f.line, f.severity, f.code): f.message for f in checked.findings if f.severity in compared}
    problems = [
        f"{case.page.name}:{case.line + f.line - 1}: not stated: {f.severity}[{f.code}] {raised[f]}"
        for f in sorted(raised.keys() - case.stated)
    ]
    problems += [
        f"{case.page.name}:{case.line + f.line - 1}: not raised: {f.severity}[{f.code}]"
        for f in sorted(case.stated - raised.keys())
    ]
    for figure in case.figures:
        actual = _look_up(checked.summaries, figure.path)
        if actual is MISSING:
            problems.append(f"{case.page.name}:{figure.line}: no figure {figure.path}")
        elif not _same(actual, figure.value):
            problems.append(
                f"{case.page.name}:{figure.line}: {figure.path} is {actual!r}, the page says {figure.value!r}"
            )
    return problems


def _before(blocks: list[Block], block: Block) -> Block:
    return blocks[blocks.index(block) - 1]


def _statements(plan: str) -> frozenset[Finding]:
    return frozenset(
        Finding(number, statement["severity"], code)
        for number, line in enumerate(plan.splitlines(), start=1)
        for statement in STATEMENT.finditer(line)
        for code in CODE.findall(statement["codes"])
    )


def _figures(block: Block) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if not line.strip():
            continue
        path, equals, value = line.partition(" = ")
        if not equals:
            raise ValueError(f"line {number}: a figure is `strategy.path = value`")
        figures.append(Figure(path.strip(), _value(value.strip()), number))
    return tuple(figures)


def _value(text: str) -> Any:
    """A JSON value, or the text itself where it is none, so that lines of a derivation need no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _look_up(data: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(data, Mapping) and key in data:
            data = data[key]
        elif isinstance(data, list | tuple) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return MISSING
    return data


def _same(actual: Any, stated: Any) -> bool:
    if isinstance(stated, float) and isinstance(actual, int | float):
        return math.isclose(actual, stated, rel_tol=1e-9)
    return type(actual) is type(stated) and actual == stated
