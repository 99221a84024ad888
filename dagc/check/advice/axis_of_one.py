"""W110: an axis of degree 1 that could be left out: it splits nothing, and names no domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.repair import substitute
from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix, Severity
from dagc.plan.plan import Plan
from dagc.plan.scopes import annotate, subtrees
from dagc.syntax.tree import Axis, Strategy

CODE = Code("W110", "axis-of-one", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each; silent where it carries options, or where the rest would not be legal without it.

    In a legal strategy an axis of 1 adds a factor of 1 to a layout. What it does beyond that is to open a scope or to
    claim a domain, and where either is needed the rest is illegal without it.
    """
    strategy = plan.deployment.strategy
    for axis in subtrees(strategy.body):
        if not isinstance(axis, Axis) or axis.degree != 1 or axis.options or axis.body is None:
            continue
        rest = replace(strategy, body=substitute(strategy.body, axis, axis.body))
        if annotate(rest).is_legal:
            yield _diagnostic(axis, axis.body)


def _diagnostic(axis: Axis, body: Strategy) -> Diagnostic:
    return CODE.at(
        axis.span,
        f"`{axis.kind} 1` splits nothing",
        "an axis that is left out is 1",
        help=(f"write what stands inside it, without `{axis.kind} 1`",),
        fixes=_fixes(axis, body),
    )


def _fixes(axis: Axis, body: Strategy) -> tuple[Fix, ...]:
    """What stands before and after the inside goes; parentheses, and comments there, stay whole or there is no fix."""
    source = axis.outer.source
    before, after = source.span(axis.outer.start, body.outer.start), source.span(body.outer.end, axis.outer.end)
    if before.text.split() != [str(axis.kind), "1", "<"] or after.text.strip() != ">":
        return ()
    return (Fix(f"leave `{axis.kind} 1` out", (Edit(before, ""), Edit(after, "")), safe=True),)
