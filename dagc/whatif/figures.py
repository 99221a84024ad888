"""The figures that a change is judged by, from the one table of figures, and how they differ."""

from __future__ import annotations

from typing import Literal

from dagc.report.figures import FIGURES, FigureKind

_NAMES = ("ttft", "ttft_p99", "tpot", "throughput", "throughput_per_gpu", "memory", "cost_per_million_output_tokens")

METRICS = tuple(kind for name in _NAMES for kind in FIGURES if kind.name == name)
"""Times first, because limits are mostly on them."""

COMPARED = ("ttft", "tpot", "throughput_per_gpu")
"""What two strategies are held against each other by, unless another is asked for."""


def better(kind: FigureKind) -> Literal["less", "more"]:
    """Whether less or more of a figure is better."""
    return "less" if kind.better == "less" else "more"


def difference(value: float | None, before: float | None) -> float | None:
    """The relative change of a figure; None where it is undetermined."""
    return None if value is None or not before else value / before - 1
