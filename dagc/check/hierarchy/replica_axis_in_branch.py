"""H107: a stage, a replica or a phase is made inside a branch of a fold."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import axes_in, fold, merged, nest, said, scope, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Label, Offer
from dagc.plan.domains import is_experts
from dagc.plan.scopes import PHASES, Annotated, Fault, ScopeNode, kind_of, subtrees
from dagc.syntax.tree import Axis, Fold, Scope, ScopeKind, Strategy

CODE = Code("H107", "replica-axis-in-branch")

_FORM = "write the fold inside: `dp 2 < pp 4 < ep 16 ; tp 2 > >`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such branch."""
    for node in annotated.faulty(Fault.REPLICA_AXIS):
        culprit = _culprit(node.syntax)
        around = node.enclosing[-1]
        way_out = _way_out(annotated, node, around)
        yield CODE.at(
            culprit.span,
            f"`{culprit.span.text}` is not allowed in a branch of a fold",
            "the branches share one stage; replicas, stages and phases contain it",
            labels=(Label(around.outer, "the fold"),),
            offers=way_out,
        )


def _culprit(branch: Strategy) -> Axis | Scope:
    """What opens no part of a stage: a `pp`, a phase, or else the `dp` around experts."""
    nodes = [part for part in subtrees(branch) if isinstance(part, Axis | Scope)]
    return next((part for part in nodes if part.kind is AxisKind.PP or part.kind in PHASES), nodes[0])


def _way_out(annotated: Annotated, node: ScopeNode, around: Strategy) -> tuple[Offer, ...]:
    """The axis around the fold. A phase in a branch has no such place."""
    if not isinstance(around, Fold) or any(kind_of(part) in PHASES for part in subtrees(around)):
        return said(_FORM)
    hoisted = [axis for branch in around.branches for axis in axes_in(branch) if _is_outer(branch, axis)]
    branches = [rest for branch in around.branches if (rest := _without(branch, hoisted)) is not None]
    by_kind = merged(hoisted)
    outer = [by_kind[kind] for kind in (AxisKind.DP, AxisKind.PP) if kind in by_kind]
    return use(annotated, around, [nest(outer, stage) for stage in _stages(branches)], _FORM)


def _stages(branches: list[Strategy]) -> list[Strategy | None]:
    """What is left of the branches as one stage; the second for the experts where none is."""
    if not branches:
        return [None]
    if len(branches) == 1:
        return [branches[0], scope(ScopeKind.ATTN, branches[0])]
    first, second = branches
    return [fold(first, second), fold(first, scope(ScopeKind.MOE, second))]


def _is_outer(branch: Strategy, axis: Axis) -> bool:
    around_stage = any(kind_of(part) is AxisKind.PP for part in subtrees(axis)) or is_experts(branch)
    return axis.kind is AxisKind.PP or (axis.kind is AxisKind.DP and around_stage)


def _without(branch: Strategy, hoisted: list[Axis]) -> Strategy | None:
    kept = [axis for axis in axes_in(branch) if all(axis is not one for one in hoisted)]
    return nest(kept, None) if kept else None
