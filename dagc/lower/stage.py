"""What every lowering step asks of the stage that it builds for: shapes, layouts, placement, spans.

Also the operators that all parts of a layer share: a matrix product, a norm, and collectives.

What is around the layers of a stage: embedding, head, and the messages between stages.

The first stage looks tokens up in a vocabulary cut over attention's tp. The last one takes the last token of each
sequence, computes its logits on all ranks of its cp group alike, and samples from the gathered vocabulary. In decode
with several stages the sampled tokens go back to the first stage for the next step. Token ids count four bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelShapes
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.graph import INPUT, LETTERS, Dim, Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.topology import Placement
from dagc.ops.all_gather import AllGather
from dagc.ops.all_reduce import AllReduce
from dagc.ops.communication import Collective, Matching
from dagc.ops.elementwise import TOKEN_ID, Embedding, Norm, Sampling
from dagc.ops.gemm import Gemm, Matrix
from dagc.ops.groups import Groups
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.message import Receive, Send
from dagc.ops.reduce_scatter import ReduceScatter
from dagc.plan.deployment import Options
from dagc.plan.layout import Layout, Ranks
from dagc.source import Span


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of one service, as its templates see it.

    `experts` is None for a dense model. `sums_experts`: the engine sends no tokens that all ranks of an expert group
    hold. `gathers_experts`: it gathers others rather than dispatch them. `holds_pairs`: without a dispatch its kernels
    bring the pairs of other ranks along between the products. `lays_rows`: rows of a dispatch go by DeepGEMM's kernels.
    `has_low_latency`: DeepEP's kernels of low latency dispatch in steps without prompts, not those of high throughput.
    `merges_shared`: shared experts take no time of their own in decode but for what they read and compute.
    `fuses_latents`: it makes the latents of queries and cache in one product. `computes_mxfp4`: the experts' device has
    a peak for it, so that products of experts take tokens in few bits too. `pool` is the placement of the experts' own
    pool, None where experts share the attention's ranks. `pipeline` is where `pp` is written, `span` where the service
    is.
    """

    shapes: ModelShapes
    options: Options
    attention: Layout
    experts: Layout | None
    own: Placement
    pool: Placement | None
    span: Span
    pipeline: Span
    sums_experts: bool = False
    gathers_experts: bool = False
    holds_pairs: bool = False
    lays_rows: bool = True
    has_low_latency: bool = True
    merges_shared: bool = False
    fuses_latents: bool = False
    computes_mxfp4: bool = False

    @property
    def activation(self) -> Dtype:
        """Type of activations."""
        return self.shapes.activation_dtype

    def matrix(self, n: int, k: int, part: Part) -> Matrix:
        """A matrix of a part of the model, stored as that part is."""
        return Matrix(n, k, part_stored(self.shapes, part), part)

    @property
    def sequence_shards(self) -> int:
        """Over how many tensor-parallel ranks the tokens are split between the blocks of a layer."""
        return self.attention.tp if self.options.sequence_parallel else 1

    def axis_span(self, layout: Layout, axis: AxisKind) -> Span:
        """Where an axis of a domain is written, else where its service is."""
        written = (f.span for f in layout.factors if f.axis is axis and f.span is not None)
        return next(written, self.span)

    def tensor(
        self,
        dims: dict[str, int],
        dtype: Dtype | None = None,
        *,
        split: tuple[str, AxisKind] | None = None,
        partial: AxisKind | None = None,
    ) -> Tensor:
        """A value at an attention rank: tokens lie over dp, `split` names a dimension that lies over another axis."""
        ordered = tuple([Dim(letter, dims[letter]) for letter in LETTERS if letter in dims])
        over: list[tuple[str, AxisKind]] = []
        if self.attention.dp > 1 and "t" in dims:
            over.append(("t", AxisKind.DP))
        if split and self.attention.degree(split[1]) > 1:
            over.append(split)
        return Tensor(dtype or self.activation, ordered, tuple(over), partial)

    def hidden(self, tokens: Load, partial: AxisKind | None = None) -> Tensor:
        """Hidden states of the tokens."""
        return self.tensor({"t": max_rank(tokens), "m": self.shapes.hidden}, partial=partial)


def shard(size: int, parts: int) -> int:
    """Largest part of a dimension cut over `parts` ranks; heads fewer than ranks are held more than once."""
    return -(-size // parts)


def add_gemm(
    builder: TemplateBuilder,
    stage: Stage,
    key: str,
    rows: Load,
    matrix: Matrix,
    output: Tensor,
    inputs: tuple[int, ...] | None = None,
    after: tuple[int, ...] | None = None,
) -> int:
    """A matrix product on the attention team."""
    return builder.add(key, Gemm(rows, matrix, stage.activation), output, inputs=inputs, after=after)


def add_norm(
    builder: TemplateBuilder,
    stage: Stage,
    key: str,
    part: Part,
    tokens: Load,
    inputs: tuple[int, ...] | None = None,
) -> int:
    """A norm of the input of a part of the model, with the addition of the residual."""
    norm = Norm(part, tokens, stage.shapes.hidden, stage.activation)
    return builder.add(key, norm, stage.hidden(tokens), inputs=inputs)


def add_collective(
    builder: TemplateBuilder,
    stage: Stage,
    key: str,
    collective: type[Collective],
    members: tuple[Layout, tuple[AxisKind, ...]],
    message: Load,
    output: Tensor,
    inputs: tuple[int, ...] | None = None,
    groups: Groups | None = None,
) -> int:
    """A collective on the attention team over the groups of some axes of a layout; `message` in elements a rank."""
    layout, axes = members
    present = tuple(axis for axis in axes if layout.degree(axis) > 1)
    partition = groups or stage.own.layout_groups(layout, present)
    op = collective(present, partition, message * output.dtype.bytes)
    return builder.add(key, op, output, inputs=inputs, span=stage.axis_span(layout, present[0]))


def add_gather(
    builder: TemplateBuilder, stage: Stage, key: str, tokens: Load, inputs: tuple[int, ...] | None = None
) -> None:
    """Before a tensor-parallel block: tokens that sequence parallelism keeps apart are gathered."""
    if stage.sequence_shards > 1:
        members = (stage.attention, (AxisKind.TP,))
        whole = stage.hidden(tokens)
        add_collective(builder, stage, key, AllGather, members, tokens * stage.shapes.hidden, whole, inputs)


def add_reduction(builder: TemplateBuilder, stage: Stage, prefix: str, tokens: Load) -> None:
    """After a tensor-parallel block: partial sums are added, each rank keeping all tokens or its share of them."""
    if stage.attention.tp == 1:
        return
    members = (stage.attention, (AxisKind.TP,))
    collective = ReduceScatter if stage.sequence_shards > 1 else AllReduce
    kept = stage.hidden(tokens / stage.sequence_shards)
    add_collective(
        builder, stage, f"{prefix}.{collective.name}", collective, members, tokens * stage.shapes.hidden, kept
    )


def local_subgroups(groups: Ranks, size: int) -> Ranks:
    """Consecutive members of each group in groups of `size`."""
    return groups.reshape(-1, size)


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
