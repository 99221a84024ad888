"""Where the outputs of a plan and of its strategies go: one directory each, whatever characters a name has.

A name of letters, digits, dots, dashes and underscores is the name of its directory. Any other gets a digest, so that
`a/b` and `a_b` have a directory each; so do a strategy called as the directory of the search, and one of two strategies
whose names differ in case alone, which some file systems take for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.cli.inputs import Input

if TYPE_CHECKING:
    from dagc.driver.outcome import Checked, Outcome, Say

SEARCH = "search"
"""The directory of `dagc search`, beside those of the strategies."""

_LONGEST_NAME = 63
"""Characters of a directory's name: with four bytes each, what a file system takes."""


def plan_directory(title: str) -> str:
    """The directory of a plan."""
    return _named(title, set())


def strategy_directories(names: Iterable[str]) -> dict[str, str]:
    """The directory of each strategy of a plan, by its name."""
    taken = {SEARCH}
    found: dict[str, str] = {}
    for name in names:
        found[name] = _named(name, taken)
        taken.add(found[name].casefold())
    return found


def check_into(given: Input, output: Path, say: Say) -> tuple[Outcome, list[tuple[Checked, Path]]]:
    """A plan checked, and each of its strategies with its directory below `output`."""
    from dagc.driver.check import check

    outcome = check(given.source, given.blocks, given.directory, say, given.levels)
    directories = strategy_directories(checked.plan.name for checked in outcome.checked)
    below = output / plan_directory(given.title)
    return outcome, [(checked, below / directories[checked.plan.name]) for checked in outcome.checked]


def _named(title: str, taken: set[str]) -> str:
    name = re.sub(r"[^\w.-]", "_", title).lstrip(".") or "plan"
    if name == title and len(name) <= _LONGEST_NAME and name.casefold() not in taken:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{sha256(title.encode()).hexdigest()[:8]}"
