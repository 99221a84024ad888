"""Rules over memory, metrics and verdicts: what a plan costs, against what its author wants and says.

Each rule is a module with a `CODE` and a `check(plan, assessment)`; rules do not know each other. They run on every
well-typed strategy: without shapes those that need prices find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dagc.check.priced import (
    active_disagrees,
    admitted_in_part,
    bubble_over_limit,
    claim_false,
    claim_misses_requirement,
    claim_of_no_experts,
    claim_without_digits,
    claims_disagree,
    kv_cache_disagrees,
    margin_without_requirement,
    margin_wrong,
    memory_mostly_unused,
    memory_nearly_full,
    memory_over_device,
    met_without_queueing,
    parameters_disagree,
    rate_over_capacity,
    requirement_not_met,
    weights_disagree,
)
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.report.assessment import Assessment

Rule = Callable[[Plan, Assessment], Iterator[Diagnostic]]

RULES: tuple[Rule, ...] = (
    memory_over_device.check,
    admitted_in_part.check,
    memory_nearly_full.check,
    memory_mostly_unused.check,
    requirement_not_met.check,
    met_without_queueing.check,
    rate_over_capacity.check,
    bubble_over_limit.check,
    claim_false.check,
    claim_of_no_experts.check,
    claims_disagree.check,
    margin_wrong.check,
    margin_without_requirement.check,
    claim_misses_requirement.check,
    parameters_disagree.check,
    active_disagrees.check,
    weights_disagree.check,
    kv_cache_disagrees.check,
    claim_without_digits.check,
)
"""All rules, by family."""


def check_priced(plan: Plan, assessment: Assessment) -> tuple[Diagnostic, ...]:
    """What the priced rules find in what a plan's assessment says of it."""
    return tuple(diagnostic for rule in RULES for diagnostic in rule(plan, assessment))
