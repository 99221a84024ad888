"""Separate pools: tokens that cross to the experts' pool and back, and the cache that crosses from prefill to decode.

Attention-FFN disaggregation: dispatch and combine are sends of one team that a receive of the other meets in the same
template. Every attention rank may send to every rank of the experts, and every rank with a shard of a chosen expert
gets the token; sums over shards are made where the results arrive.
"""

from __future__ import annotations

from dagc.graph.graph import Communication, Load, Pairing, Pattern
from dagc.graph.ops import COMBINE, DISPATCH, RECEIVE
from dagc.graph.tensor import Dim, Tensor
from dagc.lower.builder import TemplateBuilder, evenly, largest
from dagc.lower.routing import Routing
from dagc.lower.stage import Stage
from dagc.lower.topology import Placement
from dagc.source import Span
from dagc.syntax.tree import AxisKind

ATTENTION_TEAM, EXPERTS_TEAM = 0, 1

Rows = tuple[Routing, int]
"""Loads of the layer, and the width of what is sent for a token."""


def add_remote_dispatch(
    builder: TemplateBuilder, stage: Stage, message: Load, rows: Rows, inputs: tuple[int, ...]
) -> int:
    """Tokens to the experts' pool: a send of attention, a receive of the experts; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    routing, width = rows
    row = width * stage.activation.bytes
    sent, taken = _rows(stage, message / row, width), _rows(stage, routing.received, width)
    arriving = routing.received * row
    outgoing = _message(Pattern.SEND, stage.own, pool, message)
    builder.add("moe.dispatch", DISPATCH, sent, inputs=inputs, communication=outgoing, team=ATTENTION_TEAM, span=span)
    return _add_receive(builder, "moe.dispatch.receive", taken, (pool, stage.own), arriving, EXPERTS_TEAM, span)


def add_remote_combine(builder: TemplateBuilder, stage: Stage, message: Load, rows: Rows, results: Tensor) -> int:
    """Results back to attention: as many bytes as came; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    routing, width = rows
    leaving = routing.received * width * stage.activation.bytes
    sent = _rows(stage, routing.received, width)
    outgoing = _message(Pattern.SEND, pool, stage.own, leaving)
    builder.add("moe.combine", COMBINE, sent, communication=outgoing, team=EXPERTS_TEAM, span=span)
    return _add_receive(builder, "moe.combine.receive", results, (stage.own, pool), message, ATTENTION_TEAM, span)


def _add_receive(
    builder: TemplateBuilder,
    key: str,
    output: Tensor,
    ends: tuple[Placement, Placement],
    payload: Load,
    team: int,
    span: Span,
) -> int:
    communication = _message(Pattern.RECEIVE, *ends, payload, partner=builder.last)
    return builder.add(key, RECEIVE, output, inputs=(), communication=communication, team=team, span=span)


def _message(
    pattern: Pattern, own: Placement, peer: Placement, payload: Load, partner: int | None = None
) -> Communication:
    pairing = Pairing.TEMPLATE if pattern is Pattern.RECEIVE else None
    return Communication(pattern, (AxisKind.EP,), own.peers(peer), evenly(payload), pairing, partner)


def _rows(stage: Stage, tokens: Load, width: int) -> Tensor:
    return Tensor(stage.activation, (Dim("t", largest(tokens)), Dim("m", width)))


def _pool(stage: Stage) -> Placement:
    if stage.pool is None:
        raise ValueError("experts share the attention's ranks")
    return stage.pool


def _experts_span(stage: Stage) -> Span:
    return stage.span if stage.experts is None else stage.axis_span(stage.experts, AxisKind.EP)
