"""H102: an axis or scope is inside another of the same meaning."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import same_around, written
from dagc.check.helpers.repair import IN_ORDER, chain_around, orderings, use
from dagc.diag.diagnostic import Code, Diagnostic, Label, Offer
from dagc.plan.scopes import Annotated, Fault, ScopeNode
from dagc.syntax.tree import Scope, Strategy

CODE = Code("H102", "axis-inside-itself")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each inner one."""
    for node in annotated.faulty(Fault.INSIDE_ITSELF):
        yield _diagnostic(annotated, node)


def _diagnostic(annotated: Annotated, node: ScopeNode) -> Diagnostic:
    outer = same_around(node)
    way_out = _way_out(annotated, node)
    return CODE.at(
        node.span,
        f"{written(node.syntax)} is inside another `{_word(node)}`",
        "an axis does not split the same dimension twice",
        labels=(Label(outer, "the outer one"),) if outer else (),
        offers=way_out,
    )


def _word(node: ScopeNode) -> str:
    return written(node.syntax).strip("`").split()[0]


def _way_out(annotated: Annotated, node: ScopeNode) -> tuple[Offer, ...]:
    """One axis with both degrees; of a scope, what is in it."""
    if isinstance(node.syntax, Scope) and node.syntax.body is not None:
        inside: Strategy = node.syntax.body
        return use(annotated, node.syntax, [inside], IN_ORDER)
    chain = chain_around(node)
    return use(annotated, chain.top, orderings(chain), IN_ORDER)
