"""H113: the phases are split inside a phase, a stage or a domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dagc.check.helpers.labels import around_label, nearest_around, written
from dagc.check.helpers.repair import BOTH_PHASES, chain_around, nest, pools, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.plan.scopes import PHASES, Annotated, Fault, ScopeNode, kind_of, parts
from dagc.syntax.tree import Axis, Pools, Scope, Strategy

CODE = Code("H113", "phase-nested")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each such place."""
    for node in annotated.faulty(Fault.PHASE_NESTED):
        around = nearest_around(node)
        way_out = _way_out(annotated, node)
        yield CODE.at(
            node.span,
            f"phases are split inside {written(around) if around else 'a phase'}",
            "phases are allowed in the deployment or in a replica",
            labels=around_label(node, "inside this"),
            offers=way_out,
        )


def _way_out(annotated: Annotated, node: ScopeNode) -> tuple[Offer, ...]:
    outer = next((kind_of(one) for one in reversed(node.enclosing) if kind_of(one) in PHASES), None)
    branches = node.syntax.branches if isinstance(node.syntax, Pools) else (node.syntax,)
    if outer is not None:
        same = [branch for branch in branches if kind_of(branch) is outer] or list(branches)
        return use(annotated, node.syntax, [part for branch in same for part in parts(branch)], BOTH_PHASES)
    chain = chain_around(node)
    return use(annotated, chain.top, _hoisted(chain.axes, branches), BOTH_PHASES)


def _hoisted(axes: Sequence[Axis], branches: Sequence[Strategy]) -> list[Strategy]:
    """The axes around the phases inside each of them; replicas stay outside."""
    outer = [axis for axis in axes if axis.kind is AxisKind.DP]
    inner = [axis for axis in axes if axis.kind is not AxisKind.DP]
    moved = [replace(b, body=nest(inner, b.body)) if isinstance(b, Scope) else b for b in branches]
    return [nest(outer, pools(moved))]
