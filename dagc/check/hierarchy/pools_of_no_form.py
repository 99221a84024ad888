"""H109: the branches of a `|` are neither two phases nor attention beside experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from dagc.check.helpers.repair import axes_in, nest, pools, scope, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.domains import is_experts
from dagc.plan.scopes import Annotated, Fault
from dagc.syntax.tree import Axis, Fold, Pools, ScopeKind, Strategy

CODE = Code("H109", "pools-of-no-form")

_FORM = "write attention, `|`, and experts, such as `pp 2 < tp 2 > | ep 4`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such `|`."""
    for node in annotated.faulty(Fault.POOLS_SHAPE):
        if isinstance(node.syntax, Pools):
            way_out = use(annotated, node.syntax, _candidates(node.syntax), _FORM)
            yield CODE.at(
                node.span,
                _message(node.syntax),
                "expected one pool without experts beside one that is only `ep` or `moe`",
                notes=("the other form is one `prefill` beside one `decode`",),
                offers=way_out,
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
    """The experts' pool without its stages and replicas: one that serves all, or with them around both pools."""
    outer = [a for branch in (first, second) if is_experts(branch) for a in axes_in(branch) if _is_outer(a)]
    bare = [_without(branch, _is_outer) if is_experts(branch) else branch for branch in (first, second)]
    inner = [branch if branch is None else _without(branch, _is_pipeline) for branch in bare]
    found: list[Strategy] = []
    if outer and all(bare) and any(_is_pipeline(axis) for axis in axes_in(first if is_experts(second) else second)):
        found.append(pools([branch for branch in bare if branch is not None]))
    if outer and all(inner):
        found.append(nest(outer, pools([branch for branch in inner if branch is not None])))
    return found


def _is_outer(axis: Axis) -> bool:
    return axis.kind in (AxisKind.DP, AxisKind.PP)


def _is_pipeline(axis: Axis) -> bool:
    return axis.kind is AxisKind.PP


def _without(branch: Strategy, drop: Callable[[Axis], bool]) -> Strategy | None:
    kept = [axis for axis in axes_in(branch) if not drop(axis)]
    return nest(kept, None) if kept else None
