"""H110: `prefill` or `decode` without the other."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import pools, scope, use
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.scopes import Annotated, Fault
from dagc.syntax.tree import Scope, ScopeKind, Strategy

CODE = Code("H110", "phase-alone")

_FORM = "write both phases in the deployment or a replica: `prefill < … > | decode < … >`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each phase without the other."""
    for node in annotated.faulty(Fault.PHASE_ALONE):
        if isinstance(node.syntax, Scope):
            other = "decode" if node.syntax.kind is ScopeKind.PREFILL else "prefill"
            way_out = use(annotated, node.syntax, _candidates(node.syntax), _FORM)
            yield CODE.at(
                node.span,
                f"`{node.syntax.kind}` without `{other}`",
                f"a request needs `{other}` too",
                offers=way_out,
            )


def _candidates(syntax: Scope) -> list[Strategy]:
    """The same GPUs for both phases, or a pool for each."""
    if syntax.body is None:
        return []
    both = pools([scope(kind, syntax.body) for kind in (ScopeKind.PREFILL, ScopeKind.DECODE)])
    return [syntax.body, both]
