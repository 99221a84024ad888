"""Separate pools: tokens that cross to the experts' pool and back, and the cache that crosses from prefill to decode.

Attention-FFN disaggregation: dispatch and combine are sends of one team that a receive of the other meets in the same
template. Every attention rank may send to every rank of the experts, and every rank with a shard of a chosen expert
gets the token; sums over shards are made where the results arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.graph.graph import Communication, Load, Pairing, Pattern
from dagc.graph.ops import COMBINE, DISPATCH, RECEIVE
from dagc.graph.tensor import Dim, Tensor
from dagc.lower.builder import TemplateBuilder, evenly, largest
from dagc.lower.stage import Stage
from dagc.lower.topology import Placement
from dagc.source import Span
from dagc.syntax.tree import AxisKind

ATTENTION_TEAM, EXPERTS_TEAM = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """Rows between attention and the experts' pool, by rank of either: `width` elements of `row_bytes` together."""

    attention: Load
    experts: Load
    width: int
    row_bytes: float


def add_remote_dispatch(builder: TemplateBuilder, stage: Stage, rows: Crossing, inputs: tuple[int, ...]) -> int:
    """Tokens to the experts' pool: a send of attention, a receive of the experts; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    outgoing = _message(Pattern.SEND, stage.own, pool, rows.attention, rows)
    sent, taken = _rows(stage, rows.attention, rows.width), _rows(stage, rows.experts, rows.width)
    builder.add("moe.dispatch", DISPATCH, sent, inputs=inputs, communication=outgoing, team=ATTENTION_TEAM, span=span)
    arriving = _message(Pattern.RECEIVE, pool, stage.own, rows.experts, rows, partner=builder.last)
    return builder.add(
        "moe.dispatch.receive", RECEIVE, taken, inputs=(), communication=arriving, team=EXPERTS_TEAM, span=span
    )


def add_remote_combine(builder: TemplateBuilder, stage: Stage, rows: Crossing, results: Tensor) -> int:
    """Results back to attention: as many rows as came; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    outgoing = _message(Pattern.SEND, pool, stage.own, rows.experts, rows)
    sent = _rows(stage, rows.experts, rows.width)
    builder.add("moe.combine", COMBINE, sent, communication=outgoing, team=EXPERTS_TEAM, span=span)
    arriving = _message(Pattern.RECEIVE, stage.own, pool, rows.attention, rows, partner=builder.last)
    return builder.add(
        "moe.combine.receive", RECEIVE, results, inputs=(), communication=arriving, team=ATTENTION_TEAM, span=span
    )


def _message(
    pattern: Pattern, own: Placement, peer: Placement, rows: Load, crossing: Crossing, partner: int | None = None
) -> Communication:
    pairing = Pairing.TEMPLATE if pattern is Pattern.RECEIVE else None
    payload, row = evenly(rows * crossing.row_bytes), crossing.row_bytes
    return Communication(pattern, (AxisKind.EP,), own.peers(peer), payload, pairing, partner, row)


def _rows(stage: Stage, tokens: Load, width: int) -> Tensor:
    return Tensor(stage.activation, (Dim("t", largest(tokens)), Dim("m", width)))


def _pool(stage: Stage) -> Placement:
    if stage.pool is None:
        raise ValueError("experts share the attention's ranks")
    return stage.pool


def _experts_span(stage: Stage) -> Span:
    return stage.span if stage.experts is None else stage.axis_span(stage.experts, AxisKind.EP)
