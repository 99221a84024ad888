"""What every lowering step asks of the stage that it builds for: shapes, layouts, placement, spans.

Also the operators that all parts of a layer share: a matrix product, a norm, and collectives.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelShapes
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.tensor import LETTERS, Dim, Tensor
from dagc.lower.builder import TemplateBuilder
from dagc.lower.topology import Placement
from dagc.ops.all_gather import AllGather
from dagc.ops.all_reduce import AllReduce
from dagc.ops.communication import Collective
from dagc.ops.elementwise import Norm
from dagc.ops.gemm import Gemm, Matrix
from dagc.ops.groups import Groups
from dagc.ops.load import Load, max_rank
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
