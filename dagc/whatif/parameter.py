"""What of a plan can be other than stated, and to what it is changed.

A change of hardware or workload is a whole plan with one figure in another place. A change of the strategy is a text,
because a strategy has its meaning from a text; reading it may refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dagc.plan.plan import Plan


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
    """Something stated that could be otherwise. `name` is for programs and told apart within a plan.

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
