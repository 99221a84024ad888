"""Changes of a plan and of the files that it names, noticed by looking at their state several times a second.

A look at a few files costs microseconds, works on network and container file systems that report no events, and sees
editors that replace a file as well as those that write into it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

State = tuple[tuple[str, int, int, int], ...]
"""Path, time of the last change, size and number of each file that is there."""

_EVERY_SECONDS = 0.15
_STILL_SECONDS = 0.05
"""How long files must be as they are: an editor may write in several steps."""


def watched(plan: Path, text: str) -> tuple[Path, ...]:
    """The plan, and each file that is quoted in its text, counted from its directory."""
    named = (plan.parent / name for name in re.findall(r'"([^"\n]+\.json)"', text))
    return (plan, *named)


def state(paths: tuple[Path, ...]) -> State:
    """How the files are now."""
    return tuple(_states(paths))


def _states(paths: tuple[Path, ...]) -> Iterator[tuple[str, int, int, int]]:
    for path in paths:
        try:
            found = path.stat()
        except (OSError, ValueError):
            continue
        yield str(path), found.st_mtime_ns, found.st_size, found.st_ino


def wait(paths: tuple[Path, ...], before: State) -> None:
    """Until the files differ from a state, and are still again."""
    while state(paths) == before:
        time.sleep(_EVERY_SECONDS)
    now = state(paths)
    while True:
        time.sleep(_STILL_SECONDS)
        last, now = now, state(paths)
        if last == now:
            return
