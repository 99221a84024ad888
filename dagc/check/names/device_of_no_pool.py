"""N124: `device` on a domain that has no GPUs of its own."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.scopes import PHASES, Annotated, ScopeNode, kind_of
from dagc.syntax.tree import Axis, Fold, Option, Pools, Scope

CODE = Code("N124", "device-of-no-pool")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each; branches of a fold are N122's, and an illegal strategy has no pools."""
    if not annotated.is_legal:
        return
    for node in annotated.nodes:
        if isinstance(node.syntax, Scope) and node.syntax.kind not in PHASES and not _has_own(node):
            for option in node.syntax.options:
                if option.name == "device":
                    yield _diagnostic(node.syntax, option)


def _has_own(node: ScopeNode) -> bool:
    """Whether a scope is a branch of `|`, or all of one's stage; or a branch of a fold."""
    around = next((one for one in reversed(node.enclosing) if not _is_pipeline(one)), None)
    return isinstance(around, Pools | Fold)


def _is_pipeline(strategy: object) -> bool:
    return isinstance(strategy, Axis) and kind_of(strategy) is AxisKind.PP


def _diagnostic(scope: Scope, option: Option) -> Diagnostic:
    return CODE.at(
        option.span,
        f"this `{scope.kind}` has no separate GPUs, so `device` is not allowed",
        "attention and experts share their GPUs here",
        help=("state the device in the cluster or on a phase, or give the experts their own pool with `|`",),
    )
