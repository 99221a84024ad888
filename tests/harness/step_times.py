"""Step times given by tables of a test, and what a simulation is to read from them.

The evaluation is written from the meaning of the tables: it shares no code with the compiled event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dagc.simulate.gaps import Nodes, Numbers
from dagc.simulate.kernel import StepTimes

NEAR = 1e-4
"""Distance from a half below which `NearHalf` is raised, in picoseconds."""


class NearHalf(Exception):
    """A time of prompts so near to a half of a picosecond that the order of float additions could round it."""


def _cell(nodes: Nodes, value: float) -> tuple[int, int, float]:
    """The nodes about a value and its share of the way, above 1 beyond the last one and 0 below the first."""
    if len(nodes) == 1:
        return 0, 0, 0.0
    low = max(i for i in range(len(nodes) - 1) if i == 0 or nodes[i] <= value)
    return low, low + 1, max(0.0, (value - float(nodes[low])) / float(nodes[low + 1] - nodes[low]))


def decode_time(times: StepTimes, unit: int, sequences: int, context: int, fullness: float) -> int:
    """Picoseconds of a decode step: the piece that holds at a context, between two nodes of fullness."""
    low, high, share = _cell(times.fullness, fullness)
    rows = [max(r for r in times.line(sequences, i, unit).tolist() if r[0] <= context) for i in (low, high)]
    (start, *lower), (_, *upper) = rows
    base, slope = (a + int((b - a) * share) for a, b in zip(lower, upper, strict=True))
    return base + (slope * (context - start) >> 16)


def prompt_time(times: StepTimes, sequences: int, rows: int, position: float, fullness: float, floor: int = 0) -> int:
    """Picoseconds that prompts add to a step: multilinear between the corners, and no less than the floor."""
    axes = (times.sequences, sequences), (times.prompts, rows), (times.contexts, position), (times.fullness, fullness)
    cells = [_cell(nodes, value) for nodes, value in axes]
    total = 0.0
    for corner in range(16):
        at, weight = [0] * 4, 1.0
        for axis, (low, high, share) in enumerate(cells):
            above = corner >> axis & 1
            at[axis] = high if above else low
            weight *= share if above else 1.0 - share
        total += weight * times.corner(*at)
    if abs(total % 1.0 - 0.5) < NEAR:
        raise NearHalf(total)
    return max(int(total + 0.5), floor)


@dataclass
class Tables:
    """Step times made of small whole numbers.

    A decode step of n sequences takes `base` + `step` * n * (1 + place of the node of fullness), and from each of
    `starts` tokens of context on the slope that is next in `slopes`, scaled by n. Prompts take the sum over `terms` of
    the product of a row for each axis, where no row falls, so that no time beyond the last nodes is negative.
    """

    fullness: Nodes
    prompts: Nodes
    contexts: Nodes
    sequences: Nodes
    base: int
    step: int
    starts: tuple[int, ...]
    slopes: tuple[int, ...]
    terms: tuple[tuple[tuple[int, ...], ...], ...]
    unit_time: int = 1
    pieces: int = field(init=False)

    def __post_init__(self) -> None:
        self.pieces = len(self.starts)

    def line(self, sequences: int, fullness: int, unit: int) -> Numbers:
        rows: list[tuple[int, int, int]] = []
        time = (self.base + self.step * sequences * (1 + fullness)) * self.unit_time
        for start, slope in zip(self.starts, self.slopes, strict=True):
            begin = start * unit
            if rows:
                time += rows[-1][2] * (begin - rows[-1][0]) >> 16
            rows.append((begin, time, slope * (1 + sequences % 3 + fullness)))
        return np.array(rows, dtype=np.int64)

    def corner(self, sequences: int, prompt: int, context: int, fullness: int) -> int:
        at = (sequences, prompt, context, fullness)
        products = (int(np.prod([row[i] for row, i in zip(term, at, strict=True)])) for term in self.terms)
        return sum(products) * self.unit_time
