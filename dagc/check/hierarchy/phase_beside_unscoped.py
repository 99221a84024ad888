"""H112: a pool without a phase beside one that has one."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import BOTH_PHASES, pools, scope, use
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.scopes import PHASES, Annotated, Fault, ScopeNode, kind_of
from dagc.syntax.tree import Pools, Scope, ScopeKind, Strategy

CODE = Code("H112", "phase-beside-unscoped")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each pool without a phase."""
    for node in annotated.faulty(Fault.PHASE_UNSCOPED):
        around = node.enclosing[-1]
        if isinstance(around, Pools):
            yield _diagnostic(annotated, node, around)


def _diagnostic(annotated: Annotated, node: ScopeNode, around: Pools) -> Diagnostic:
    phases = [branch for branch in around.branches if isinstance(branch, Scope) and branch.kind in PHASES]
    way_out = use(annotated, around, _candidates(node, around), BOTH_PHASES)
    return CODE.at(
        node.span,
        "a pool has no phase, although another has one",
        "wrap it in `prefill` or `decode`",
        labels=tuple(Label(phase.span, f"this pool is for {phase.kind}") for phase in phases),
        offers=way_out,
    )


def _candidates(node: ScopeNode, around: Pools) -> list[Strategy]:
    """The phase that is missing; else the pools without it."""
    there = {kind_of(branch) for branch in around.branches}
    missing = [kind for kind in (ScopeKind.PREFILL, ScopeKind.DECODE) if kind not in there]
    wrapped = [
        pools([scope(kind, branch) if branch is node.syntax else branch for branch in around.branches])
        for kind in missing
    ]
    return [*wrapped, pools([branch for branch in around.branches if branch is not node.syntax])]
