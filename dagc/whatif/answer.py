"""What pricing says of a plan, as far as changes are compared: figures, verdicts, and where the time goes.

`Pricing` is what the driver hands in: a text becomes a plan or the reasons against it, a plan becomes an answer. Both
are full runs of the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.report.assessment import Assessment
from dagc.report.metrics import PhaseMetrics
from dagc.report.serving import Serving
from dagc.timeline.timeline import Timeline


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """One phase, its metrics, and the schedule of its step on the GPUs; of decode, what lies between two tokens too."""

    name: str
    metrics: PhaseMetrics
    timeline: Timeline
    serving: Serving | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A priced plan. `phases` is empty where times are undetermined."""

    plan: Plan
    found: Assessment
    phases: tuple[PhaseTime, ...]

    @property
    def fits(self) -> bool | None:
        """Whether memory suffices; None where it is undetermined."""
        memory = self.found.memory
        return None if memory is None else memory.fullest.share <= 1


@dataclass(frozen=True, slots=True)
class RefusedPlan:
    """Why there is no answer: the first of the errors."""

    problem: Diagnostic


@dataclass(frozen=True, slots=True)
class Pricing:
    """`read` gives a strategy's text its meaning among the facts of a plan; `price` runs all that follows."""

    read: Callable[[str, Plan], Plan | RefusedPlan]
    price: Callable[[Plan], Answer | RefusedPlan]

    def of(self, to: Plan | str, base: Plan) -> Answer | RefusedPlan:
        """The answer to a change of `base`."""
        plan = self.read(to, base) if isinstance(to, str) else to
        return plan if isinstance(plan, RefusedPlan) else self.price(plan)
