"""Rules over memory, metrics and verdicts: what a plan costs, against what its author wants and says.

Each rule is a module with a `CODE` and a `check(plan, assessment)`; rules do not know each other. They run on every
well-typed strategy: without shapes those that need prices find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dagc.check.priced import (
    claim_false,
    claim_misses_requirement,
    claim_without_digits,
    claims_disagree,
    margin_wrong,
    memory_nearly_full,
    memory_over_device,
    parameters_disagree,
    requirement_not_met,
)
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.report.assess import assess
from dagc.report.assessment import Assessment

if TYPE_CHECKING:
    from dagc.cost.memory import PoolMemory
    from dagc.timeline.timeline import Timeline

Rule = Callable[[Plan, Assessment], Iterator[Diagnostic]]

RULES: tuple[Rule, ...] = (
    memory_over_device.check,
    memory_nearly_full.check,
    requirement_not_met.check,
    claim_false.check,
    claims_disagree.check,
    margin_wrong.check,
    claim_misses_requirement.check,
    parameters_disagree.check,
    claim_without_digits.check,
)
"""All rules, by family."""


def check_priced(
    plan: Plan, memory: tuple[PoolMemory, ...] | None, timelines: tuple[Timeline, ...] | None
) -> tuple[Diagnostic, ...]:
    """What the priced rules find; `memory` and `timelines` are None where the plan could not be priced."""
    assessment = assess(plan, memory, timelines)
    return tuple(diagnostic for rule in RULES for diagnostic in rule(plan, assessment))
