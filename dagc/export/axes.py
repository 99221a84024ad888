"""Axes of plots: values to places on a line, and round values for its grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

from dagc.export.svg_text import ticks

MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class PlotAxis:
    """From values to places on a line of a length. `first` and `last` are at its ends, in logarithms where `is_log`."""

    first: float
    last: float
    length: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Pixels from the first end."""
        turned = log(value) if self.is_log else value
        return self.length * (turned - self.first) / (self.last - self.first)

    def ticks(self, most: int = MOST_TICKS) -> list[float]:
        """Round values between the ends, so many at most; two more on a logarithmic axis."""
        if not self.is_log:
            return ticks(self.first, self.last, most)
        low, high = exp(self.first), exp(self.last)
        for leading in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [v for e in range(-12, 13) for m in leading if low <= (v := float(f"{m}e{e}")) <= high]
            if 3 < len(found) <= most + 2:
                return found
        return ticks(low, high, most)
