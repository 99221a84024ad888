"""H103: an axis or scope is inside `tp`, whose shards are not split further."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import SPLITS, around_label, written
from dagc.check.helpers.repair import IN_ORDER, chain_around, orderings, use
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.scopes import Annotated, Fault, ScopeNode, kind_of

CODE = Code("H103", "inside-shard")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each chain of axes that goes on inside a shard."""
    for node in annotated.faulty(Fault.INSIDE_SHARD):
        yield _diagnostic(annotated, node)


def _diagnostic(annotated: Annotated, node: ScopeNode) -> Diagnostic:
    kind = kind_of(node.syntax)
    assert kind is not None
    chain = chain_around(node)
    way_out = use(annotated, chain.top, orderings(chain), IN_ORDER)
    return CODE.at(
        node.span,
        f"{written(node.syntax)} is not allowed inside a shard",
        f"a shard holds part of every matrix; `{kind}` {SPLITS[kind]}",
        labels=around_label(node, "this opens a shard; nothing is allowed inside it"),
        offers=way_out,
    )
