"""All that a table of measurements may hold: operators of one GPU, and exchanges between several."""

from __future__ import annotations

from collections.abc import Mapping

from dagc.calibrate.exchanges import EXCHANGES
from dagc.calibrate.operators import OPERATORS, FittedOperator

KNOWN: Mapping[str, FittedOperator] = {**OPERATORS, **EXCHANGES}
"""By the name in the column `operator`."""
