"""H109: the branches of a `|` are neither two phases nor attention beside experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.repair import axes_in, nest, pools, scope, use
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.domains import is_experts
from dagc.plan.scopes import Annotated, Fault, kind_of
from dagc.syntax.tree import Axis, AxisKind, Fold, Pools, ScopeKind, Strategy

CODE = Code("H109", "pools-of-no-form")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such `|`."""
    for node in annotated.faulty(Fault.POOLS_SHAPE):
        if isinstance(node.syntax, Pools):
            yield CODE.at(
                node.span,
                _message(node.syntax),
                "expected one pool without experts beside one that is only `ep` or `moe`",
                notes=("the other form is one `prefill` beside one `decode`",),
                help=use(annotated, node.syntax, _candidates(node.syntax)),
            )


def _message(syntax: Pools) -> str:
    count = len(syntax.branches)
    holding = sum(is_experts(branch) for branch in syntax.branches)
    if count != 2:
        return f"{count} pools beside each other"
    if any(isinstance(branch, Fold | Pools) for branch in syntax.branches):
        return "a pool holds attention and experts, or pools of its own"
    if holding == 1:
        return "the pool with the experts holds more than `ep` or `moe`"
    return "both pools hold experts" if holding else "neither pool holds experts"


def _candidates(syntax: Pools) -> list[Strategy]:
    if len(syntax.branches) != 2:
        return []
    first, second = (_single(branch) for branch in syntax.branches)
    if is_experts(first) and is_experts(second):
        return [*_hoisted(first, second), pools([_as_attention(first), second])]
    if not is_experts(first) and not is_experts(second):
        return [pools([first, scope(ScopeKind.MOE, second)])]
    return [pools([first, second]), *_hoisted(first, second)]


def _single(branch: Strategy) -> Strategy:
    """A branch without what it folds in beside its attention."""
    if not isinstance(branch, Fold):
        return branch
    return next((part for part in branch.branches if not is_experts(part)), branch)


def _as_attention(branch: Strategy) -> Strategy:
    """As many GPUs without experts: `ep` becomes `dp`."""
    axes = [replace(a, kind=AxisKind.DP, options=()) if a.kind is AxisKind.EP else a for a in axes_in(branch)]
    return nest(axes, None)


def _hoisted(first: Strategy, second: Strategy) -> list[Strategy]:
    """The stages and replicas of the experts' pool around both pools."""
    outer = [a for branch in (first, second) if is_experts(branch) for a in axes_in(branch) if _is_outer(a)]
    if not outer:
        return []
    rest = [_without_outer(branch) if is_experts(branch) else branch for branch in (first, second)]
    kept = [branch for branch in rest if branch is not None]
    return [nest(outer, pools(kept))] if kept else []


def _is_outer(axis: Axis) -> bool:
    return kind_of(axis) in (AxisKind.DP, AxisKind.PP)


def _without_outer(branch: Strategy) -> Strategy | None:
    kept = [axis for axis in axes_in(branch) if not _is_outer(axis)]
    return nest(kept, None) if kept else None
