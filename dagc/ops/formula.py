"""What a formula of a duration is: named coefficients with a meaning, inputs, and the terms that it gives.

The same function prices and is fitted. Inputs are arrays of any shapes that broadcast (by rank when pricing, by row of
a table when fitting); peaks and bandwidth are those of the device's datasheet, so that coefficients are shares of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Inputs = Mapping[str, Values]
Coefficients = Mapping[str, Any]
"""Numbers, or arrays that broadcast with the inputs where a formula allows it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Datasheet figures of one GPU for one arithmetic type: FLOP/s, bytes/s and how many multiprocessors it has.

    The link inside a node and the network across are in bytes/s in one direction; only exchanges need them.
    """

    flops_per_second: float
    bytes_per_second: float
    processors: int
    link_bytes_per_second: float = inf
    network_bytes_per_second: float = inf


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient: where a fit starts, between what it stays, and what it means."""

    name: str
    start: float
    low: float
    high: float
    meaning: str


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Seconds of launch, of arithmetic and of memory, and of `serial` work that overlaps with neither.

    Arithmetic and memory overlap: together they take (arithmetic^power + memory^power)^(1/power), which is the longer
    of the two where they differ much, and more where they are alike.
    """

    launch: Values | float
    compute: Values
    memory: Values
    power: float
    serial: Values | float = 0.0

    @property
    def seconds(self) -> Values:
        """The whole; nothing where there is nothing to do."""
        longer, blended = np.maximum(self.compute, self.memory), np.minimum(self.compute, self.memory)
        is_work = longer > 0
        works_everywhere = bool(is_work.all())
        blended /= longer if works_everywhere else np.where(is_work, longer, 1.0)
        blended = blended**self.power
        blended += 1.0
        blended **= 1.0 / self.power
        blended *= longer
        whole: Values = self.launch + blended + self.serial
        return whole if works_everywhere else np.where(is_work, whole, 0.0)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula by name. `ranged` names the inputs of which a fit keeps the range.

    `broadcasts`: coefficients may be arrays as inputs may, so that several regimes are asked at once.
    """

    name: str
    parameters: tuple[Coefficient, ...]
    ranged: tuple[str, ...]
    terms: Callable[[Coefficients, Inputs, Machine], Terms]
    broadcasts: bool = False


LAUNCH = Coefficient(
    "launch", 3e-6, 5e-7, 1e-4, "seconds of the smallest call: launch in a CUDA graph, first and last load"
)
STREAM = Coefficient("memory", 0.8, 0.2, 1.0, "share of the memory bandwidth that a long stream reaches")
PEAK = Coefficient("peak", 0.8, 0.02, 1.0, "share of the arithmetic peak that endless work reaches")
POWER = Coefficient("power", 3.0, 1.1, 8.0, "how sharply the longer of arithmetic and memory decides")
WAVE = Coefficient("wave", 0.5, 0.0, 1.0, "share of a last, partly filled wave of tiles that is waited for")
