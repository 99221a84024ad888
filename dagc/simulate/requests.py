"""Requests of a simulation: when each arrives, how long its prompt and its output are.

A closed loop is an open one whose requests all arrive at time 0, with a limit on how many are in flight. Draws come
from `numpy.random.RandomState`, whose stream is the same in every version of numpy (NEP 19).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]

PICOSECONDS = 10**12


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of shape (requests,), in the order of arrival.

    `arrival` is in picoseconds and does not fall. `prompt` and `output` are in tokens, 1 at least; `hit` tokens of a
    prompt are in the prefix cache, fewer than all. At most `cap` requests are in flight; 0 is no limit.
    """

    arrival: Times
    prompt: Tokens
    output: Tokens
    hit: Tokens
    cap: int = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self.arrival)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Whole numbers of tokens between two bounds, both included, each as likely; equal bounds are a constant."""

    low: int
    high: int

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return (self.low + self.high) / 2

    def draw(self, random: np.random.RandomState, count: int) -> Tokens:
        """So many draws."""
        return random.randint(self.low, self.high + 1, count).astype(np.int32)


def arrivals(rate: float, burstiness: float, random: np.random.RandomState, count: int) -> Times:
    """Arrival times in picoseconds at `rate` requests a second: gaps are gamma distributed with shape `burstiness`.

    A burstiness of 1 is a Poisson process, less is burstier.
    """
    gaps = random.gamma(burstiness, 1 / (rate * burstiness), count)
    return np.cumsum(np.round(gaps * PICOSECONDS)).astype(np.int64)
