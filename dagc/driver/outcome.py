"""What the pipeline takes and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.levels import AdviceLevel
from dagc.graph.graph import Graph
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.results.metrics import Metrics
from dagc.results.summary import StructureRecord
from dagc.schedule.timeline import Timeline
from dagc.source import Source

if TYPE_CHECKING:
    from dagc.driver.load import StrategyLoad

Say = Callable[[str], None]
"""Takes the name of the step that begins."""


Blocks = tuple[tuple[str, Source], ...]
"""Blocks given as options: (keyword, text after it)."""


GivenLevels = tuple[tuple[AdviceLevel, Source], ...]
"""Levels given as options: (level, codes or names of advice)."""


@dataclass(frozen=True, slots=True)
class Priced:
    """What pricing adds to a plan. Without shapes there is no graph, without rates no timelines.

    `timelines` are those of `graph.phases`, the slowest class of replicas of each phase; `others` those of
    `graph.others`. `load` is what is simulated of requests that come and go.
    """

    assessment: Assessment
    graph: Graph | None = None
    timelines: tuple[Timeline, ...] | None = None
    others: tuple[Timeline, ...] = ()
    load: StrategyLoad | None = None

    @property
    def metrics(self) -> Metrics:
        """TTFT, TPOT and the rest where there are timelines, which they are measured by. Raises ValueError without."""
        if self.assessment.metrics is None:
            raise ValueError("a plan without timelines has no metrics")
        return self.assessment.metrics


@dataclass(frozen=True, slots=True)
class Checked:
    """A well-typed strategy: its plan, what pricing found, its own diagnostics, and its structure."""

    plan: Plan
    priced: Priced
    diagnostics: tuple[Diagnostic, ...]
    structure: StructureRecord


@dataclass(frozen=True, slots=True)
class Outcome:
    """All diagnostics of a run, in the order of the text, and every strategy that has a meaning."""

    diagnostics: tuple[Diagnostic, ...]
    checked: tuple[Checked, ...]
