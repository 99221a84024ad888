"""One picture of a simulation: distributions of times, queues over time below them, and the sweep, if any."""

from __future__ import annotations

from collections.abc import Sequence

from dagc.export.load.distributions import SimulatedStrategy, draw_distributions
from dagc.export.load.plot import MARGIN, STYLE, WIDE
from dagc.export.load.queues import QUEUE_STYLE, draw_queues
from dagc.export.load.sweep import SweptStrategy, draw_sweeps
from dagc.export.svg_text import LINE, picture


def simulation_svg(strategies: Sequence[SimulatedStrategy], swept: Sequence[SweptStrategy] = ()) -> str:
    """The picture of all strategies; of those without a sweep the last part has nothing."""
    lines = list[str]()
    y = draw_distributions(lines, MARGIN, strategies) + LINE
    y = draw_queues(lines, y, strategies) + LINE
    y = draw_sweeps(lines, y, swept)
    return picture("Requests under load", WIDE, y, STYLE + QUEUE_STYLE, lines)
