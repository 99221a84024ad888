"""H104: a fold is not in a stage."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import around_label
from dagc.check.helpers.repair import attention_nest, axes_in, chain_around, fold, nest, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.plan.domains import is_experts
from dagc.plan.scopes import Annotated, Fault, ScopeNode
from dagc.syntax.tree import Axis, Fold, Strategy

CODE = Code("H104", "fold-outside-stage")

_FORM = "write the fold in a stage: `pp 2 < ep 16 ; tp 2 >`, or `ep 16 ; tp 2`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such fold."""
    for node in annotated.faulty(Fault.FOLD_PLACE):
        way_out = _way_out(annotated, node)
        yield CODE.at(
            node.span,
            f"a fold is not allowed in {node.place.value}",
            "`;` lets attention and experts share the GPUs of a stage, written or implied",
            labels=around_label(node, f"this opens {node.place.value}"),
            offers=way_out,
        )


def _way_out(annotated: Annotated, node: ScopeNode) -> tuple[Offer, ...]:
    if not isinstance(node.syntax, Fold):
        return ()
    chain = chain_around(node)
    return use(annotated, chain.top, _candidates(node.syntax, chain.axes), _FORM)


def _candidates(syntax: Fold, around: tuple[Axis, ...]) -> list[Strategy]:
    """The axes around it with the attention, or left out."""
    outer = [axis for axis in around if axis.kind in (AxisKind.DP, AxisKind.PP)]
    inner = [axis for axis in around if axis.kind in (AxisKind.CP, AxisKind.TP)]
    experts = [branch for branch in syntax.branches if is_experts(branch)]
    rest = [axis for branch in syntax.branches if not is_experts(branch) for axis in axes_in(branch)]
    attention = attention_nest([*inner, *rest])
    found: list[Strategy] = []
    if len(experts) == 1 and attention is not None:
        found.append(nest(outer, fold(experts[0], attention)))
    return [*found, nest(outer, syntax)]
