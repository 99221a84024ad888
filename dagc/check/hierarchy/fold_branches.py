"""H105: a fold has other than two plain branches."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import attention_nest, axes_in, fold, merged, nest, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.scopes import Annotated, Fault
from dagc.syntax.tree import Fold, Strategy

CODE = Code("H105", "fold-branches")

_FORM = "write the experts, `;`, and attention, such as `ep 16 ; cp 2 < tp 2 >`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such fold."""
    for node in annotated.faulty(Fault.FOLD_BRANCHES):
        if isinstance(node.syntax, Fold):
            way_out = use(annotated, node.syntax, _candidates(node.syntax), _FORM)
            yield CODE.at(
                node.span,
                _message(node.syntax),
                "a fold has one branch for the experts (`ep` or `moe`) and one for attention",
                offers=way_out,
            )


def _message(syntax: Fold) -> str:
    if len(syntax.branches) != 2:
        return f"a fold of {len(syntax.branches)} branches"
    return "a branch of a fold is split into branches or pools itself"


def _candidates(syntax: Fold) -> list[Strategy]:
    """All experts' axes in one branch, all of attention's in the other."""
    axes = [axis for axis in axes_in(syntax) if axis.kind is not AxisKind.PP]
    by_kind = merged(axes)
    attention = attention_nest(axes)
    if AxisKind.EP not in by_kind or attention is None:
        return [] if attention is None else [attention]
    return [fold(nest([by_kind[AxisKind.EP]], None), attention)]
