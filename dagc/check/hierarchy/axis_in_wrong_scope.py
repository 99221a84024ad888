"""H101: an axis or scope is inside a part that has nothing for it to split."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import SPLITS, around_label, places, written
from dagc.check.helpers.repair import IN_ORDER, chain_around, orderings, use
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.scopes import Annotated, Fault, ScopeNode, kind_of

CODE = Code("H101", "axis-in-wrong-scope")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each chain of axes with a misplaced one."""
    for node in annotated.faulty(Fault.WRONG_SCOPE):
        yield _diagnostic(annotated, node)


def _diagnostic(annotated: Annotated, node: ScopeNode) -> Diagnostic:
    kind = kind_of(node.syntax)
    assert kind is not None
    chain = chain_around(node)
    way_out = use(annotated, chain.top, orderings(chain), IN_ORDER)
    return CODE.at(
        node.span,
        f"{written(node.syntax)} is not allowed in {node.place.value}",
        f"`{kind}` {SPLITS[kind]}; it is allowed in {places(kind)}",
        labels=around_label(node, f"this opens {node.place.value}"),
        offers=way_out,
    )
