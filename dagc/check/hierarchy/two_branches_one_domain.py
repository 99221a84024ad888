"""H106: both branches of a fold are for the same domain."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import axes_in, fold, merged, nest, scope, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.domains import is_experts
from dagc.plan.scopes import Annotated, Fault
from dagc.syntax.tree import Fold, ScopeKind, Strategy

CODE = Code("H106", "two-branches-one-domain")

_FORM = "write the experts, `;`, and attention, such as `ep 16 ; tp 2`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such fold."""
    for node in annotated.faulty(Fault.ONE_DOMAIN):
        if isinstance(node.syntax, Fold):
            domain, other = _domains(node.syntax)
            way_out = use(annotated, node.syntax, _candidates(node.syntax), _FORM)
            yield CODE.at(
                node.span,
                f"both branches of this fold are for {domain}",
                f"one branch must be for {other}",
                offers=way_out,
            )


def _domains(syntax: Fold) -> tuple[str, str]:
    if is_experts(syntax.branches[0]):
        return "the experts", "attention: `tp`, `cp`, `dp` or `attn`"
    return "attention", "the experts: `ep` or `moe`"


def _candidates(syntax: Fold) -> list[Strategy]:
    """One of the branches for the other domain; for experts, one of the two alone."""
    first, second = syntax.branches
    if is_experts(first):
        return [second, first]
    by_kind = merged(axes_in(syntax))
    order = [by_kind[kind] for kind in (AxisKind.DP, AxisKind.CP, AxisKind.TP) if kind in by_kind]
    one_inside_the_other: list[Strategy] = [scope(ScopeKind.ATTN, nest(order, None))] if len(order) > 1 else []
    return [
        fold(first, scope(ScopeKind.MOE, second)),
        fold(scope(ScopeKind.MOE, first), second),
        *one_inside_the_other,
    ]
