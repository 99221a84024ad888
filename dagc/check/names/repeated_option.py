"""N123: an option written twice in one service, where it has one value."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import without
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.scopes import PHASES, Annotated, ScopeNode, kind_of
from dagc.source import Span
from dagc.syntax.tree import Axis, Scope

CODE = Code("N123", "repeated-option")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each after the first. Pools have a device each, and phases their own options."""
    seen: dict[tuple[object, ...], Span] = {}
    for node in annotated.nodes:
        if isinstance(node.syntax, Axis | Scope) and node.fault is None:
            for option in node.syntax.options:
                key = (option.name, *_owner(node, option.name))
                if key in seen:
                    yield CODE.at(
                        option.span,
                        f"`{option.name}` is written twice",
                        "it has one value",
                        labels=(Label(seen[key], "written here already"),),
                        help=("leave one of them out",),
                        fixes=without(node.syntax, option, safe=seen[key].text.split() == option.span.text.split()),
                    )
                seen.setdefault(key, option.span)


def _owner(node: ScopeNode, name: str) -> tuple[int, ...]:
    """What an option belongs to: `device` to its scope, the others to the phase around them, if any."""
    if name == "device":
        return (id(node.syntax),)
    return tuple(id(one) for one in (*node.enclosing, node.syntax) if kind_of(one) in PHASES)
