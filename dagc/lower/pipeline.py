"""What stands around the layers of a stage: embedding, head, and the messages between stages.

The first stage looks tokens up in a vocabulary cut over attention's tp. The last one takes the last token of each
sequence, computes its logits on all ranks of its cp group alike, and samples from the gathered vocabulary. In decode
with several stages the sampled tokens go back to the first stage for the next step. Token ids count four bytes.
"""

from __future__ import annotations

from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.graph.graph import INPUT, Communication, Load, Pairing, Pattern
from dagc.graph.ops import EMBEDDING, RECEIVE, SAMPLING, SEND
from dagc.graph.tensor import Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder, Work, evenly, largest
from dagc.lower.stage import Stage, add_collective, add_gemm, add_norm, add_reduction, elementwise, shard
from dagc.lower.topology import Placement
from dagc.syntax.tree import AxisKind

TOKEN_ID = Dtype.FP32
"""Stands for a 32-bit integer: four bytes."""


def add_embedding(builder: TemplateBuilder, stage: Stage, batch: Batch) -> None:
    """Each rank writes the rows of its part of the vocabulary, zero elsewhere; their sum is the embedding."""
    hidden = stage.shapes.hidden
    elements = batch.tokens * hidden
    moved = batch.tokens * TOKEN_ID.bytes + 2 * elements * stage.activation.bytes
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    work = Work(0 * elements, moved, stage.activation)
    builder.add("embedding.lookup", EMBEDDING, stage.hidden(batch.tokens, partial), work)
    add_reduction(builder, stage, "embedding", batch.tokens)


def add_head(builder: TemplateBuilder, stage: Stage, batch: Batch, streams: int) -> None:
    """Norm and logits of the last token of each sequence (and of its draft), and the token sampled from them."""
    shapes, rows = stage.shapes, batch.sampled
    add_norm(builder, stage, "head.norm", rows, tuple(INPUT - i for i in range(streams)))
    columns = shard(shapes.vocab, stage.attention.tp)
    matrix = stage.matrix(columns, shapes.hidden, Part.HEAD)
    logits = stage.tensor({"t": largest(rows), "v": columns}, split=("v", AxisKind.TP))
    add_gemm(builder, stage, "head.logits", rows, matrix, logits)
    whole = stage.tensor({"t": largest(rows), "v": shapes.vocab})
    if stage.attention.tp > 1:
        members = (stage.attention, (AxisKind.TP,))
        add_collective(builder, stage, "head.all_gather", Pattern.ALL_GATHER, members, rows * shapes.vocab, whole)
    sampled = stage.tensor({"t": largest(rows)}, TOKEN_ID)
    builder.add("head.sampling", SAMPLING, sampled, elementwise(rows * shapes.vocab, 1, 0, stage.activation))


def add_send(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement, streams: int) -> None:
    """Hidden states to the next stage, rank r to rank r."""
    tokens = batch.tokens / stage.sequence_shards
    communication = _message(Pattern.SEND, stage.own, peer, tokens * _hidden_bytes(stage))
    builder.add(
        "pipeline.send", SEND, stage.hidden(tokens), inputs=tuple(INPUT - i for i in range(streams)),
        communication=communication, span=stage.pipeline,
    )  # fmt: skip


def add_receive(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """Hidden states from the previous stage."""
    tokens = batch.tokens / stage.sequence_shards
    communication = _message(Pattern.RECEIVE, stage.own, peer, tokens * _hidden_bytes(stage), Pairing.STAGE)
    builder.add(
        "pipeline.receive", RECEIVE, stage.hidden(tokens), inputs=(), communication=communication, span=stage.pipeline
    )


def add_token_send(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """Sampled tokens from the last stage to the first, for the next step."""
    communication = _message(Pattern.SEND, stage.own, peer, batch.sequences * TOKEN_ID.bytes)
    builder.add("token.send", SEND, _tokens(stage, batch), communication=communication, span=stage.pipeline)


def add_token_receive(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """The tokens that the last stage sampled in the step before."""
    communication = _message(Pattern.RECEIVE, stage.own, peer, batch.sequences * TOKEN_ID.bytes, Pairing.STEP)
    builder.add(
        "token.receive", RECEIVE, _tokens(stage, batch), inputs=(), communication=communication, span=stage.pipeline
    )


def _tokens(stage: Stage, batch: Batch) -> Tensor:
    return stage.tensor({"t": largest(batch.sequences)}, TOKEN_ID)


def _hidden_bytes(stage: Stage) -> float:
    return stage.shapes.hidden * stage.activation.bytes


def _message(
    pattern: Pattern, own: Placement, peer: Placement, payload: Load, pairing: Pairing | None = None
) -> Communication:
    return Communication(pattern, (AxisKind.PP,), own.opposite(peer), evenly(payload), pairing)
