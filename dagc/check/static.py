"""Runs the rules that need no price: over the text of a strategy, and over a plan.

A rule knows no other. All of a family run, in the order of their codes, and what they find comes back together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dagc.check import rules
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.scopes import Annotated

Rule = Callable[[Plan], Iterator[Diagnostic]]
"""Takes a plan to what is wrong or unwise about it."""

TEXT_RULES: tuple[Callable[[Annotated], Iterator[Diagnostic]], ...] = (*rules("hierarchy"), *rules("names"))
"""Rules over the text of a strategy."""

DEGREE_RULES: tuple[Rule, ...] = rules("degrees")
"""Rules over a strategy with a meaning and the facts beside it. A rule is silent where what it needs is not stated."""

ENGINE_RULES: tuple[Rule, ...] = rules("engines")
"""What the named engine refuses; all are silent without one. They wait for degrees that are right in any engine."""

GPU_RULES: tuple[Rule, ...] = rules("gpus")
"""Rules over the GPUs that a plan takes. They wait for right degrees: a wrong one makes the size wrong too."""

STARTING_RULES: tuple[Rule, ...] = rules("starting")
"""What the named engine starts otherwise than priced, or at a cost that no price has; all are silent without one."""

ADVICE_RULES: tuple[Rule, ...] = (*rules("advice"), *STARTING_RULES)
"""What is unwise about a plan of right degrees; none of these keeps it from being priced."""

HOUSE_RULES: tuple[Rule, ...] = rules("house")
"""Rules that a plan asks for; what they find is silent otherwise."""

REFUSING = (*DEGREE_RULES, *ENGINE_RULES, *GPU_RULES)
"""Rules that can keep a plan from being priced."""


def check_hierarchy(annotated: Annotated) -> tuple[Diagnostic, ...]:
    """What is wrong with a strategy by its text alone: scopes, folds, pools, options."""
    return tuple(diagnostic for rule in TEXT_RULES for diagnostic in rule(annotated))


def check_plan(plan: Plan) -> tuple[Diagnostic, ...]:
    """What is wrong or unwise about a plan, before anything is priced."""
    degrees = tuple(diagnostic for rule in DEGREE_RULES for diagnostic in rule(plan))
    return (
        degrees
        or check_engine(plan)
        or tuple(diagnostic for rule in (*GPU_RULES, *ADVICE_RULES, *HOUSE_RULES) for diagnostic in rule(plan))
    )


def refusal(plan: Plan, rules: Sequence[Rule] = REFUSING) -> Diagnostic | None:
    """The first diagnostic of rules that keeps a plan from being priced; those of advice never do."""
    return next((diagnostic for rule in rules for diagnostic in rule(plan) if diagnostic.stops), None)


def check_start(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the engine that a plan names starts otherwise than priced."""
    return tuple(diagnostic for rule in STARTING_RULES for diagnostic in rule(plan))


def check_engine(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the engine that a plan names refuses."""
    return tuple(diagnostic for rule in ENGINE_RULES for diagnostic in rule(plan))
