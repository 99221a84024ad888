"""What is around the layers of a stage: embedding, head, and the messages between stages.

The first stage looks tokens up in a vocabulary cut over attention's tp. The last one takes the last token of each
sequence, computes its logits on all ranks of its cp group alike, and samples from the gathered vocabulary. In decode
with several stages the sampled tokens go back to the first stage for the next step. Token ids count four bytes.
"""

from __future__ import annotations

from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.graph import INPUT, Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_collective, add_gemm, add_norm, add_reduction, shard
from dagc.lower.topology import Placement
from dagc.ops.all_gather import AllGather
from dagc.ops.communication import Matching
from dagc.ops.elementwise import TOKEN_ID, Embedding, Sampling
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.message import Receive, Send


def add_embedding(builder: TemplateBuilder, stage: Stage, batch: Batch) -> None:
    """Each rank writes the rows of its part of the vocabulary, zero elsewhere; their sum is the embedding."""
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    lookup = Embedding(Part.EMBEDDING, batch.tokens, stage.shapes.hidden, stage.activation)
    builder.add("embedding.lookup", lookup, stage.hidden(batch.tokens, partial))
    add_reduction(builder, stage, "embedding", batch.tokens)


def add_head(builder: TemplateBuilder, stage: Stage, batch: Batch, streams: int) -> None:
    """Norm and logits of the last token of each sequence (and of its draft), and the token sampled from them."""
    shapes, rows = stage.shapes, batch.sampled
    add_norm(builder, stage, "head.norm", Part.HEAD, rows, tuple(INPUT - i for i in range(streams)))
    columns = shard(shapes.vocab, stage.attention.tp)
    matrix = stage.matrix(columns, shapes.hidden, Part.HEAD)
    logits = stage.tensor({"t": max_rank(rows), "v": columns}, split=("v", AxisKind.TP))
    add_gemm(builder, stage, "head.logits", rows, matrix, logits)
    whole = stage.tensor({"t": max_rank(rows), "v": shapes.vocab})
    if stage.attention.tp > 1:
        members = (stage.attention, (AxisKind.TP,))
        add_collective(builder, stage, "head.all_gather", AllGather, members, rows * shapes.vocab, whole)
    sampled = stage.tensor({"t": max_rank(rows)}, TOKEN_ID)
    builder.add("head.sampling", Sampling(Part.HEAD, rows, shapes.vocab, stage.activation), sampled)


def add_send(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement, streams: int) -> None:
    """Hidden states to the next stage, rank r to rank r."""
    tokens = batch.tokens / stage.sequence_shards
    send = Send((AxisKind.PP,), stage.own.opposite(peer), compress_uniform(tokens * _hidden_bytes(stage)))
    inputs = tuple(INPUT - i for i in range(streams))
    builder.add("pipeline.send", send, stage.hidden(tokens), inputs=inputs, span=stage.pipeline)


def add_receive(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """Hidden states from the previous stage."""
    tokens = batch.tokens / stage.sequence_shards
    receive = _receive(stage, peer, tokens * _hidden_bytes(stage), Matching.STAGE)
    builder.add("pipeline.receive", receive, stage.hidden(tokens), inputs=(), span=stage.pipeline)


def add_token_send(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """Sampled tokens from the last stage to the first, for the next step."""
    send = Send((AxisKind.PP,), stage.own.opposite(peer), compress_uniform(batch.sequences * TOKEN_ID.bytes))
    builder.add("token.send", send, _tokens(stage, batch), span=stage.pipeline)


def add_token_receive(builder: TemplateBuilder, stage: Stage, batch: Batch, peer: Placement) -> None:
    """The tokens that the last stage sampled in the step before."""
    receive = _receive(stage, peer, batch.sequences * TOKEN_ID.bytes, Matching.STEP)
    builder.add("token.receive", receive, _tokens(stage, batch), inputs=(), span=stage.pipeline)


def _tokens(stage: Stage, batch: Batch) -> Tensor:
    return stage.tensor({"t": max_rank(batch.sequences)}, TOKEN_ID)


def _hidden_bytes(stage: Stage) -> float:
    return stage.shapes.hidden * stage.activation.bytes


def _receive(stage: Stage, peer: Placement, payload: Load, matching: Matching) -> Receive:
    return Receive((AxisKind.PP,), stage.own.opposite(peer), compress_uniform(payload), matching=matching)
