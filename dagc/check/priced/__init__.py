"""Rules over memory, metrics and verdicts: what a plan costs, against what its author wants and states.

They run on every well-typed strategy: without shapes those that need prices find nothing.
"""

from __future__ import annotations

from dagc import check
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment


def check_priced(plan: Plan, assessment: Assessment) -> tuple[Diagnostic, ...]:
    """What these rules and those over claims find in what a plan's assessment says of it."""
    families = ("claims", "priced") if plan.claims else ("priced",)
    return tuple(found for family in families for rule in check.rules(family) for found in rule(plan, assessment))
