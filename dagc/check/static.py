"""Runs the rules that need no price: over the text of a strategy, and over a plan.

A rule knows no other. All of a family run, in the order of their codes, and what they find comes back together. A
family is imported with the first plan that it can find something in.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc import check
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.scopes import Annotated
from dagc.syntax.tree import Axis, Scope

OF_FAULTS, OF_OPTIONS = "hierarchy", "names"
"""Rules over the text of a strategy: nodes that may not be where they are, and options."""

OF_DEGREES = ("degrees",)
"""Rules over a strategy with a meaning and the facts beside it. A rule is silent where what it needs is not stated."""

OF_ENGINE = ("engines",)
"""What the named engine refuses. They wait for degrees that are right in any engine."""

OF_START = ("starting",)
"""What the named engine starts otherwise than priced, or at a cost that no price has."""

ADVISING = ("advice", *OF_START, "house")
"""What is unwise about a plan of right degrees; none of these keeps it from being priced. What rules of `house` find is
silent unless a plan asks for it.
"""

REFUSING = (*OF_DEGREES, *OF_ENGINE, "gpus")
"""Rules that can keep a plan from being priced. Those over its GPUs wait for right degrees: a wrong one makes the size
wrong too.
"""


def check_hierarchy(annotated: Annotated) -> tuple[Diagnostic, ...]:
    """What is wrong with a strategy by its text alone: scopes, folds, pools, options."""
    families = [] if annotated.is_legal else [OF_FAULTS]
    if any(isinstance(node.syntax, Axis | Scope) and node.syntax.options for node in annotated.nodes):
        families.append(OF_OPTIONS)
    return tuple(found for family in families for rule in check.rules(family) for found in rule(annotated))


def check_plan(plan: Plan) -> tuple[Diagnostic, ...]:
    """What is wrong or unwise about a plan, before anything is priced."""
    return tuple(_found(plan, OF_DEGREES)) or check_engine(plan) or tuple(_found(plan, ("gpus", *ADVISING)))


def refusal(plan: Plan, families: tuple[str, ...] = REFUSING) -> Diagnostic | None:
    """The first diagnostic of some rules that keeps a plan from being priced; those of advice never do."""
    return next((found for found in _found(plan, families) if found.stops), None)


def check_start(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the engine that a plan names starts otherwise than priced."""
    return tuple(_found(plan, OF_START))


def check_engine(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the engine that a plan names refuses."""
    return tuple(_found(plan, OF_ENGINE))


def _found(plan: Plan, families: tuple[str, ...]) -> Iterator[Diagnostic]:
    """What rules find; those of engines find nothing without one, and are not imported."""
    for family in families:
        if plan.facts.engine is not None or family not in (*OF_ENGINE, *OF_START):
            for rule in check.rules(family):
                yield from rule(plan)
