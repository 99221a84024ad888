"""N122: an option on an axis or scope that it says nothing about."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.options import OPTIONS
from dagc.plan.scopes import Annotated, Kind, Node, Place, kind_of
from dagc.syntax.tree import Axis, AxisKind, Fold, Option, Scope, ScopeKind

CODE = Code("N122", "misplaced-option")

_ORDER: tuple[Kind, ...] = (*AxisKind, *ScopeKind)
_OF_ATTENTION = frozenset({"sp", "dcp"})
_EXPERTS = frozenset({Place.EXPERTS_BRANCH, Place.EXPERTS_POOL})


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each."""
    for node in annotated.nodes():
        if isinstance(node.syntax, Axis | Scope):
            for option in node.syntax.options:
                found = _reason(annotated, node, option)
                if found:
                    yield _diagnostic(node, option, *found)


def _reason(annotated: Annotated, node: Node, option: Option) -> tuple[str, str] | None:
    """Why an option says nothing here, and where it would."""
    form, kind = OPTIONS.get(option.name), kind_of(node.syntax)
    if form is None:
        return None
    if kind not in form.on:
        return f"`{option.name}` is an option of {_owners(option.name)}", f"write it behind {_owners(option.name)}"
    if option.name in _OF_ATTENTION and _is_in_experts(annotated, node):
        return "this `tp` cuts the experts", "write it behind the `tp` of attention"
    if option.name == "device" and node.enclosing and isinstance(node.enclosing[-1], Fold):
        return "the branches of a fold share their GPUs", "give the experts their own pool with `|`"
    return None


def _is_in_experts(annotated: Annotated, node: Node) -> bool:
    """Whether a node stands in the experts' branch of a fold or in an experts' pool."""
    around = {id(one) for one in (*node.enclosing, node.syntax)}
    return any(one.place in _EXPERTS and id(one.syntax) in around for one in annotated.nodes())


def _owners(name: str) -> str:
    return " or ".join(f"`{kind}`" for kind in _ORDER if kind in OPTIONS[name].on)


def _diagnostic(node: Node, option: Option, reason: str, move: str) -> Diagnostic:
    kind = kind_of(node.syntax)
    here = ", ".join(f"`{form.name}`" for form in OPTIONS.values() if kind in form.on)
    offers = (f"options of `{kind}`: {here}",) if here else ()
    return CODE.at(
        option.span,
        f"`{option.name}` does not apply to this `{kind}`",
        reason,
        help=(f"{move}, or leave it out", *offers),
    )
