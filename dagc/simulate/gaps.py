"""Times between tokens of a simulation: rows as the kernel writes them, or counts where these are many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Nodes = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_SHIFT = 16
EXACT_ROWS = 1 << 22
"""Rows of gaps that are kept as they are."""
_BINS = 12
"""Binary digits of a gap, after the first one, that rounding keeps."""


def gap_at(base: Numbers, slope: Numbers, context: Numbers) -> Numbers:
    """Picoseconds without a token in a step of a row of gaps, from the row's base and slope and the step's context."""
    return base + (slope * context >> _SHIFT)


class Gaps:
    """Rows of gaps; too many become counts of rounded gaps, in bins of 4,096 an octave."""

    def __init__(self) -> None:
        self._rows: list[Numbers] = []
        self._size = 0
        self._counts: Nodes | None = None

    def add(self, rows: Numbers) -> None:
        """More rows; the array is not kept."""
        self._rows.append(rows.copy())
        self._size += len(rows)
        if self._counts is not None or self._size > EXACT_ROWS:
            counts = np.zeros(64 << _BINS) if self._counts is None else self._counts
            for kept in self._rows:
                _count(kept, counts)
            self._counts, self._rows = counts, []

    def rows(self) -> Numbers:
        """All that was added, of shape (rows, 6)."""
        if self._counts is None:
            return np.concatenate(self._rows)
        (bins,) = np.nonzero(self._counts)
        shift = bins >> _BINS
        low = np.where(shift > 0, (bins & (1 << _BINS) - 1) + (1 << _BINS), bins) << np.maximum(shift - 1, 0)
        rows = np.zeros((len(bins), 6), dtype=np.int64)
        rows[:, 0] = low + ((1 << np.maximum(shift - 1, 0)) >> 1)
        rows[:, 4], rows[:, 5] = 1, self._counts[bins]
        return rows


def _count(rows: Numbers, counts: Nodes) -> None:
    """Add the gaps of some rows to the counts of their bins."""
    for begin in range(0, len(rows), 1 << 15):
        part = rows[begin : begin + (1 << 15)]
        steps = part[:, 4]
        # Row by row each of its steps.
        expanded: Numbers = np.repeat(part, steps, axis=0)
        step: Numbers = np.arange(len(expanded)) - np.repeat(np.cumsum(steps) - steps, steps)
        base, slope, context, growth = (expanded[:, i] for i in range(4))
        gap = gap_at(base, slope, context + step * growth)
        # As many digits as the mantissa has beyond the first one; a gap below 2^53 is exact as a float.
        shift = np.maximum(np.frexp(gap.astype(np.float64))[1].astype(np.int64) - _BINS, 0)
        mantissa: Numbers = gap >> np.maximum(shift - 1, 0)
        bins: Numbers = np.where(shift > 0, (shift << _BINS) + mantissa - (1 << _BINS), mantissa)
        counts += np.bincount(bins, expanded[:, 5], len(counts))
