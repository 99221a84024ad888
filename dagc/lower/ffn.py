"""The feed-forward part of a dense layer: norm, up, activation, down, reduction over attention's tp.

Each rank computes its own tokens with its columns of the matrices; dp and cp hold copies of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.model import LayerKind
from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_gather, add_gemm, add_norm, add_reduction, shard
from dagc.ops.elementwise import Activation
from dagc.ops.load import Load, max_rank


@dataclass(frozen=True, slots=True)
class Width:
    """Inner width of a feed-forward network, cut over `shards` ranks; the part of the model that it is."""

    ffn: int
    shards: int
    part: Part = Part.DENSE_FFN


def add_dense_ffn(builder: TemplateBuilder, stage: Stage, batch: Batch, kind: LayerKind) -> None:
    """The dense feed-forward block of a layer, keys `ffn.*`."""
    add_norm(builder, stage, "ffn.norm", Part.DENSE_FFN, batch.tokens / stage.sequence_shards)
    add_gather(builder, stage, "ffn.all_gather", batch.tokens)
    add_mlp(builder, stage, "ffn", batch.tokens, Width(stage.shapes.dense_width(kind), stage.attention.tp))
    add_reduction(builder, stage, "ffn", batch.tokens)


def add_mlp(
    builder: TemplateBuilder,
    stage: Stage,
    prefix: str,
    tokens: Load,
    width: Width,
    inputs: tuple[int, ...] | None = None,
    after: tuple[int, ...] | None = None,
) -> None:
    """Up (with its gate), activation and down; the result is a partial sum where the width is cut."""
    shapes = stage.shapes
    inner = shard(width.ffn, width.shards)
    lanes = 2 if shapes.gated else 1
    split = ("f", AxisKind.TP) if width.shards > 1 else None
    raised = stage.tensor({"t": max_rank(tokens), "f": lanes * inner}, split=split)
    up = stage.matrix(lanes * inner, shapes.hidden, width.part)
    add_gemm(builder, stage, f"{prefix}.up", tokens, up, raised, inputs, after)
    active = stage.tensor({"t": max_rank(tokens), "f": inner}, split=split)
    builder.add(f"{prefix}.activation", Activation(width.part, tokens, inner, stage.activation, lanes), active)
    partial = AxisKind.TP if width.shards > 1 else None
    down = stage.matrix(shapes.hidden, inner, width.part)
    add_gemm(builder, stage, f"{prefix}.down", tokens, down, stage.hidden(tokens, partial))
