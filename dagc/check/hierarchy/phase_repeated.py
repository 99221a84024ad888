"""H111: two pools for one phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagc.check.helpers.repair import BOTH_PHASES, pools, use
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.scopes import Annotated, Fault, ScopeNode
from dagc.syntax.tree import Pools, Scope, ScopeKind, Strategy

CODE = Code("H111", "phase-repeated")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each pool after the first of its phase."""
    for node in annotated.faulty(Fault.PHASE_REPEATED):
        around = node.enclosing[-1]
        if isinstance(node.syntax, Scope) and isinstance(around, Pools):
            yield _diagnostic(annotated, node, node.syntax, around)


def _diagnostic(annotated: Annotated, node: ScopeNode, syntax: Scope, around: Pools) -> Diagnostic:
    alike = [branch for branch in around.branches if isinstance(branch, Scope) and branch.kind is syntax.kind]
    way_out = use(annotated, around, _candidates(syntax, around), BOTH_PHASES)
    return CODE.at(
        node.span,
        f"a second pool for `{syntax.kind}`",
        "each phase has one pool; more GPUs of it are replicas inside, `dp`",
        labels=(Label(alike[0].span, "the first"),),
        offers=way_out,
    )


def _candidates(syntax: Scope, around: Pools) -> list[Strategy]:
    """The phase that is missing in its place; else without it."""
    other = ScopeKind.DECODE if syntax.kind is ScopeKind.PREFILL else ScopeKind.PREFILL
    renamed = [replace(syntax, kind=other) if branch is syntax else branch for branch in around.branches]
    return [pools(renamed), pools([branch for branch in around.branches if branch is not syntax])]
