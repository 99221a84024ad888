"""H108: pools are not in a replica or a stage."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import around_label
from dagc.check.helpers.repair import chain_around, nest, use
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.plan.scopes import Annotated, Fault, ScopeNode

CODE = Code("H108", "pools-outside-stage")

_FORM = "write the pools in a replica or a stage: `tp 2 | ep 4`, or `pp 2 < tp 2 | ep 4 >`"


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each `|` out of place."""
    for node in annotated.faulty(Fault.POOLS_PLACE):
        way_out = _way_out(annotated, node)
        yield CODE.at(
            node.span,
            f"pools are not allowed in {node.place.value}",
            "`|` gives attention and experts GPUs of their own, in a replica or in a stage",
            labels=around_label(node, f"this opens {node.place.value}"),
            offers=way_out,
        )


def _way_out(annotated: Annotated, node: ScopeNode) -> tuple[Offer, ...]:
    """The pools alone, in the same stage."""
    chain = chain_around(node)
    outer = [axis for axis in chain.axes if axis.kind in (AxisKind.DP, AxisKind.PP)]
    return use(annotated, chain.top, [nest(outer, node.syntax)], _FORM)
