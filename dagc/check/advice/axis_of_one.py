"""W110: an axis of degree 1 that could be left out: it splits nothing, and names no domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from dagc.diag.diagnostic import Code, Diagnostic, Edit, Fix, Severity
from dagc.plan.plan import Plan
from dagc.plan.scopes import annotate, substitute, subtrees
from dagc.syntax.tree import Axis, NamedStrategy, Strategy

CODE = Code("W110", "axis-of-one", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each; silent where it carries options, or where the rest would not be legal without it.

    In a legal strategy an axis of 1 adds a factor of 1 to a layout. What it does beyond that is to open a scope or to
    claim a domain, and where either is needed the rest is illegal without it.
    """
    strategy = plan.deployment.strategy
    for part in subtrees(strategy.body):
        if not isinstance(part, Axis):
            continue
        if _is_one(part) and part.body is not None and _is_legal(strategy, part, part.body):
            yield _diagnostic(part, "write its content alone", _fixes(part, part.body))
        inside = part.body
        if _is_one(inside) and inside.body is None and _is_legal(strategy, part, replace(part, body=None)):
            yield _diagnostic(inside, f"write `{part.kind} {part.degree}`", _fixes_around(part, inside))


def _is_one(part: Strategy | None) -> TypeGuard[Axis]:
    return isinstance(part, Axis) and part.degree == 1 and not part.options


def _is_legal(strategy: NamedStrategy, part: Strategy, instead: Strategy) -> bool:
    return annotate(replace(strategy, body=substitute(strategy.body, part, instead))).is_legal


def _diagnostic(axis: Axis, instead: str, fixes: tuple[Fix, ...]) -> Diagnostic:
    return CODE.at(
        axis.span,
        f"`{axis.kind} 1` splits nothing",
        "an axis that is left out is 1",
        help=(f"{instead}, without `{axis.kind} 1`",),
        fixes=fixes,
    )


def _fixes(axis: Axis, body: Strategy) -> tuple[Fix, ...]:
    """What is before and after the inside goes; parentheses, and comments there, stay whole or there is no fix."""
    source = axis.outer.source
    before, after = source.span(axis.outer.start, body.outer.start), source.span(body.outer.end, axis.outer.end)
    if before.text.split() != [str(axis.kind), "1", "<"] or after.text.strip() != ">":
        return ()
    return (Fix(f"leave `{axis.kind} 1` out", (Edit(before, ""), Edit(after, "")), safe=True),)


def _fixes_around(around: Axis, axis: Axis) -> tuple[Fix, ...]:
    """`< tp 1 >` goes, from the end of what is before it."""
    source = around.outer.source
    head = source.span(around.outer.start, axis.outer.start).text.rstrip()
    after = source.span(axis.outer.end, around.outer.end).text.strip()
    if not head.endswith("<") or after != ">" or "#" in head:
        return ()
    start = around.outer.start + len(head[:-1].rstrip())
    return (Fix(f"leave `{axis.kind} 1` out", (Edit(source.span(start, around.outer.end), ""),), safe=True),)
