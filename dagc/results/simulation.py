"""The record of what `dagc simulate --format json` prints: each strategy under its load, and under others.

Data only; numbers are in SI units.
"""

from __future__ import annotations

from typing import Any, Literal

from dagc.results.load import SimulatedLoad
from dagc.results.record import Versioned, record
from dagc.results.summary import RequirementRecord

SweepOver = Literal["rate", "concurrency"]


@record
class SweepPoint:
    """Figures at one load; `met` says whether every requirement on them holds, null where there are none."""

    load: float
    requests_per_second: float
    ttft_seconds: dict[str, float | None]
    tpot_seconds: dict[str, float | None]
    met: bool | None


@record
class Sweep:
    """Loads in ascending order, over `rate` (requests/s) or `concurrency`.

    `highest` is the highest load that keeps every requirement: without requirements, the one that saturates. Null
    where the lowest does not.
    """

    over: SweepOver
    highest: float | None
    points: list[SweepPoint]


@record
class StrategyUnderLoad:
    """One strategy: its load, what is required of it, and the sweep where one was asked for."""

    name: str
    strategy: str
    gpus: int
    load: SimulatedLoad
    requirements: list[RequirementRecord]
    sweep: Sweep | None


@record
class SimulationResult(Versioned):
    """The document. `assumed` says in words which blocks the plan does not state; null where it states all."""

    assumed: str | None
    strategies: list[StrategyUnderLoad]
    diagnostics: list[dict[str, Any]]
