"""Parameters of a plan, their changes, and the pricing of changed plans.

A change of hardware or workload is a whole plan with one figure in another place. A change of the strategy is a text,
because a strategy has its meaning from a text; reading it may refuse it.
`Pricing` is what the driver hands in: a text becomes a plan or the reasons against it, a plan becomes an answer. Both
are full runs of the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.results.summary import PhaseRecord, Serving
from dagc.schedule.timeline import Timeline


class ParameterKind(StrEnum):
    """Whose decision a parameter is: who buys, who sends requests, who deploys."""

    HARDWARE = "hardware"
    WORKLOAD = "workload"
    STRATEGY = "strategy"


@dataclass(frozen=True, slots=True)
class Change:
    """One other value, as people write it (`+10 %`, `256`, `ep 8`), and the plan or the strategy's text that has it.

    `reason` says why such a plan cannot be; it is then not priced.
    """

    label: str
    to: Plan | str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SensitivityParameter:
    """Something stated that could be otherwise. `name` is for programs and unique within a plan.

    `value` is what the plan has. `note` says which fitted coefficients are changed along. `reason` says why there is
    no change that would mean anything; a parameter has either.
    """

    name: str
    title: str
    kind: ParameterKind
    value: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """One phase, its metrics, and the schedule of its step on the GPUs; of decode, what lies between two tokens too."""

    name: str
    metrics: PhaseRecord
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
