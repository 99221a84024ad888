"""N122: an option on an axis or scope that it says nothing about."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import moved, without
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Fix
from dagc.plan.options import OPTIONS
from dagc.plan.scopes import Annotated, Kind, Place, ScopeNode, kind_of
from dagc.syntax.tree import Axis, Fold, Option, Scope, ScopeKind

CODE = Code("N122", "misplaced-option")

_ORDER: tuple[Kind, ...] = (*AxisKind, *ScopeKind)
_OF_ATTENTION = frozenset({"sp", "dcp"})
_EXPERTS = frozenset({Place.EXPERTS_BRANCH, Place.EXPERTS_POOL})


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each."""
    for node in annotated.nodes:
        if isinstance(node.syntax, Axis | Scope):
            for option in node.syntax.options:
                found = _reason(annotated, node, option)
                if found:
                    yield _diagnostic(node, option, *found, _fixes(annotated, node.syntax, option))


def _reason(annotated: Annotated, node: ScopeNode, option: Option) -> tuple[str, str] | None:
    """Why an option says nothing here, and where it would."""
    form, kind = OPTIONS.get(option.name), kind_of(node.syntax)
    if form is None:
        return None
    if kind not in form.on:
        return f"`{option.name}` is an option of {_owners(option.name)}", f"write it after {_owners(option.name)}"
    if option.name in _OF_ATTENTION and _is_in_experts(annotated, node):
        return "this `tp` splits the experts", "write it after the `tp` of attention"
    if option.name == "device" and node.enclosing and isinstance(node.enclosing[-1], Fold):
        return "the branches of a fold share their GPUs", "give the experts their own pool with `|`"
    return None


def _fixes(annotated: Annotated, syntax: Axis | Scope, option: Option) -> tuple[Fix, ...]:
    """Behind the one axis that could have meant it, or left out where there is none, or more than one."""
    form = OPTIONS[option.name]
    fitting = [
        node.syntax
        for node in annotated.nodes
        if isinstance(node.syntax, Axis | Scope)
        and node.syntax is not syntax
        and node.syntax.kind in form.on
        and _reason(annotated, node, option) is None
    ]
    if len(fitting) == 1 and form.accepts(option.values) and all(o.name != option.name for o in fitting[0].options):
        return moved(syntax, option, fitting[0])
    return without(syntax, option, safe=False)


def _is_in_experts(annotated: Annotated, node: ScopeNode) -> bool:
    """Whether a node is in the experts' branch of a fold or in an experts' pool."""
    around = {id(one) for one in (*node.enclosing, node.syntax)}
    return any(one.place in _EXPERTS and id(one.syntax) in around for one in annotated.nodes)


def _owners(name: str) -> str:
    return " or ".join(f"`{kind}`" for kind in _ORDER if kind in OPTIONS[name].on)


def _diagnostic(node: ScopeNode, option: Option, reason: str, move: str, fixes: tuple[Fix, ...]) -> Diagnostic:
    kind = kind_of(node.syntax)
    here = ", ".join(f"`{form.name}`" for form in OPTIONS.values() if kind in form.on)
    offers = (f"options of `{kind}`: {here}",) if here else ()
    return CODE.at(
        option.span,
        f"`{option.name}` does not apply to this `{kind}`",
        reason,
        help=(f"{move}, or leave it out", *offers),
        fixes=fixes,
    )
