"""W206: a degree is not a power of two."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_degree
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.plan.scopes import subtrees
from dagc.syntax.tree import Axis

CODE = Code("W206", "degree-not-power-of-two", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each written degree."""
    for axis in subtrees(plan.deployment.strategy.body):
        if isinstance(axis, Axis) and axis.degree & (axis.degree - 1):
            below = 1 << (axis.degree.bit_length() - 1)
            yield CODE.at(
                axis.span,
                f"`{axis.kind} {axis.degree}` is not a power of two",
                f"it lies between {below} and {below * 2}",
                offers=use_degree(plan, axis.span, ((below,), (below * 2,)), applies=False),
            )
