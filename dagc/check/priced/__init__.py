"""Rules over memory, metrics and verdicts: what a plan costs, against what its author wants and says.

They run on every well-typed strategy: without shapes those that need prices find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dagc.check import rules
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment

RULES: tuple[Callable[[Plan, Assessment], Iterator[Diagnostic]], ...] = rules("priced")


def check_priced(plan: Plan, assessment: Assessment) -> tuple[Diagnostic, ...]:
    """What the priced rules find in what a plan's assessment says of it."""
    return tuple(diagnostic for rule in RULES for diagnostic in rule(plan, assessment))
