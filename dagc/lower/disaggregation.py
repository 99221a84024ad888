"""Separate pools: tokens that cross to the experts' pool and back, and the cache that crosses from prefill to decode.

Attention-FFN disaggregation: dispatch and combine are sends of one team that a receive of the other matches in the same
template. Every attention rank may send to every rank of the experts, and every rank with a shard of a chosen expert
gets the token; sums over shards are made where the results arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.degrees import AxisKind
from dagc.graph.graph import Dim, Tensor
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage
from dagc.lower.topology import Placement
from dagc.ops.communication import Matching
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.token_exchange import CombineSend, DispatchSend, TokenReceive
from dagc.source import Span

ATTENTION_TEAM, EXPERTS_TEAM = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenTransfer:
    """Rows between attention and the experts' pool, by rank of either: `width` elements of `row_bytes` together."""

    attention: Load
    experts: Load
    width: int
    row_bytes: float


def add_remote_dispatch(builder: TemplateBuilder, stage: Stage, rows: TokenTransfer, inputs: tuple[int, ...]) -> int:
    """Tokens to the experts' pool: a send of attention, a receive of the experts; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    bytes_sent = compress_uniform(rows.attention * rows.row_bytes)
    send = DispatchSend((AxisKind.EP,), stage.own.peers(pool), bytes_sent, rows.row_bytes)
    sent, taken = _rows(stage, rows.attention, rows.width), _rows(stage, rows.experts, rows.width)
    builder.add("moe.dispatch", send, sent, inputs=inputs, team=ATTENTION_TEAM, span=span)
    receive = _receive(pool, stage.own, rows.experts * rows.row_bytes, builder.last)
    return builder.add("moe.dispatch.receive", receive, taken, inputs=(), team=EXPERTS_TEAM, span=span)


def add_remote_combine(builder: TemplateBuilder, stage: Stage, rows: TokenTransfer, results: Tensor) -> int:
    """Results back to attention: as many rows as came; the receive's index."""
    pool, span = _pool(stage), _experts_span(stage)
    bytes_sent = compress_uniform(rows.experts * rows.row_bytes)
    send = CombineSend((AxisKind.EP,), pool.peers(stage.own), bytes_sent, rows.row_bytes)
    sent = _rows(stage, rows.experts, rows.width)
    builder.add("moe.combine", send, sent, team=EXPERTS_TEAM, span=span)
    receive = _receive(stage.own, pool, rows.attention * rows.row_bytes, builder.last)
    return builder.add("moe.combine.receive", receive, results, inputs=(), team=ATTENTION_TEAM, span=span)


def _receive(own: Placement, peer: Placement, payload: Load, partner: int) -> TokenReceive:
    groups = own.peers(peer)
    return TokenReceive((AxisKind.EP,), groups, compress_uniform(payload), matching=Matching.TEMPLATE, partner=partner)


def _rows(stage: Stage, tokens: Load, width: int) -> Tensor:
    return Tensor(stage.activation, (Dim("t", max_rank(tokens)), Dim("m", width)))


def _pool(stage: Stage) -> Placement:
    if stage.pool is None:
        raise ValueError("experts share the attention's ranks")
    return stage.pool


def _experts_span(stage: Stage) -> Span:
    return stage.span if stage.experts is None else stage.axis_span(stage.experts, AxisKind.EP)
