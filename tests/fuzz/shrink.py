"""Makes a case that fails small: options, files, lines and words are taken out as long as the same thing is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from tests.fuzz.cases import Case
from tests.property.mutations import PIECE

SECONDS = 40
"""Time that is given to one case."""


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case that was found in time and that still fails."""
    end = time.monotonic() + SECONDS
    before = None
    while case != before:
        before = case
        for smaller in _smaller(case):
            if time.monotonic() > end:
                return case
            if smaller.size < case.size and fails(smaller):
                case = smaller
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with a part left out, large parts first."""
    for name in case.files:
        yield replace(case, files={key: value for key, value in case.files.items() if key != name})
    for width in (2, 1):
        for at in range(1, len(case.argv) - width + 1):
            yield replace(case, argv=case.argv[:at] + case.argv[at + width :])
    for name, content in case.files.items():
        for less in _less(content):
            yield replace(case, files={**case.files, name: less})
    for less in _less(case.stdin):
        yield replace(case, stdin=less)
    for at, argument in enumerate(case.argv[1:], 1):
        for less in _less(argument.encode("utf-8", "surrogatepass")):
            yield replace(case, argv=(*case.argv[:at], less.decode("utf-8", "replace"), *case.argv[at + 1 :]))


def _less(content: bytes) -> Iterator[bytes]:
    """The content without halves, quarters, … of its lines, then of its words."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    for pieces in (text.splitlines(keepends=True), PIECE.findall(text)):
        count = 2
        while count <= min(2 * len(pieces), 256):
            edges = [len(pieces) * i // count for i in range(count + 1)]
            for start, end in pairwise(edges):
                if end > start:
                    yield "".join([*pieces[:start], *pieces[end:]]).encode()
            count *= 2
