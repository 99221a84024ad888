"""How much a search may do: seconds on the clock, and a number of evaluations, by which it can be repeated.

An evaluation is a bound of a service that knows its memory, a price of a service or of a strategy, or a column that is
enumerated. A search takes as many as it is about to ask for at most, in the same order on any machine, and looks at the
clock nowhere else. So one that the clock ended after N evaluations is the one that N evaluations end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

Ended = Literal["time", "evaluations", "interrupt"]


@dataclass(slots=True)
class Budget:
    """Evaluations and seconds that are left; None is without a limit. `ended_by` is what ended the search, if anything
    has.
    """

    most: int | None = None
    seconds: float | None = None
    evaluations: int = 0
    ended_by: Ended | None = None
    _begun: float = field(default_factory=lambda: time.monotonic())

    @property
    def has_ended(self) -> bool:
        """Whether nothing more may be asked for."""
        return self.ended_by is not None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until time ends the search; None without a limit."""
        return None if self.seconds is None else self.seconds - (time.monotonic() - self._begun)

    def take(self, number: int) -> int:
        """Take so many evaluations, or as many as are left; with 0 the search ends."""
        if self.ended_by is None and self.seconds is not None and time.monotonic() - self._begun >= self.seconds:
            self.ended_by = "time"
        if self.ended_by is not None:
            return 0
        left = number if self.most is None else max(0, min(number, self.most - self.evaluations))
        if left == 0 and number > 0:
            self.ended_by = "evaluations"
        self.evaluations += left
        return left
