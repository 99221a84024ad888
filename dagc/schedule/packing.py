"""Templates as the tables that the kernel reads: 32-bit words whose pointers are not yet addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.schedule.structure import Structure, Wait

Int32 = npt.NDArray[np.int32]

STEP_WORDS, TEMPLATE_WORDS, GROUP_WORDS = 11, 9, 3
"""Words of `Step`, `Template` and `Groups` in `kernel.c`."""

_WAITS, _LINKS, _DURATIONS, _GROUPS = 7, 8, 9, 10
"""Pointers of a step, as words."""

NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class PackedTemplate:
    """`words` are the steps, then what they point at. `header` are the words of the template.

    `pointers` are the words that count from the first word on. `durations` are those of each step, shape (copies or 1,
    1 or width); `duration_words` are the words that point at the first row of a step, `duration_rows` these rows, of
    all steps one after the other. `groups` are the (word, members) of steps whose ranks start together.
    """

    words: Int32
    header: Int32
    pointers: Int32
    duration_words: Int32
    duration_rows: Int32
    durations: tuple[Picoseconds, ...]
    groups: tuple[tuple[int, Ranks], ...]

    @property
    def row_count(self) -> int:
        """Rows of durations."""
        return sum(len(one) for one in self.durations)


def pack(structure: Structure, durations: Sequence[Picoseconds], groups: Sequence[Ranks | None]) -> PackedTemplate:
    """The tables of a template from the duration, shape (copies or 1, width or 1), and the groups of each step."""
    count = len(structure.steps)
    steps: list[list[int]] = []
    tail: list[int] = []
    row = 0
    for step, duration in zip(structure.steps, durations, strict=True):
        waits = count * STEP_WORDS + len(tail)
        tail += _waits(step.waits)
        links = count * STEP_WORDS + len(tail)
        tail += step.links
        numbers = step.lane, len(step.waits), step.data, len(step.links), step.receive, step.send, len(duration)
        steps.append([*numbers, waits, links, row, 0])
        row += len(duration)
    out_sizes = count * STEP_WORDS + len(tail)
    tail += [len(out) for out in structure.outs]
    outs = count * STEP_WORDS + len(tail)
    tail += [word for out in structure.outs for word in _waits(out)]
    first = np.arange(count, dtype=np.int32) * STEP_WORDS
    words = np.array([word for step in steps for word in step] + tail, dtype=np.int32)
    header = (structure.lanes, structure.streams, count, len(structure.outs), structure.sends, structure.receives)
    return PackedTemplate(
        words=words,
        header=np.array([*header, 0, out_sizes, outs], dtype=np.int32),
        pointers=np.concatenate([first + _WAITS, first + _LINKS]),
        duration_words=first + _DURATIONS,
        duration_rows=words[first + _DURATIONS],
        durations=tuple(durations),
        groups=tuple((_GROUPS + i * STEP_WORDS, one) for i, one in enumerate(groups) if one is not None),
    )


def _waits(waits: Sequence[Wait]) -> list[int]:
    return [word for wait in waits for word in (wait.value, NONE if wait.lane is None else wait.lane)]
