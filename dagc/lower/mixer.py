"""What mixes tokens in a layer: attention, or a recurrent mixer in its place.

A recurrent mixer has keys `mixer.*`: projection, convolution and state, output, reduction. The step and decay of each
head of a gated delta net come from a product of their own, as engines have it (`in_proj_ba`).

Heads lie over attention's tp; a sequence's state is whole on each rank of cp and dcp. The convolution and the state are
one kernel that reads and writes the state once a sequence, in prefill as in decode.
"""

from __future__ import annotations

from math import ceil

from dagc.catalog.model import LayerKind
from dagc.catalog.part import Part
from dagc.catalog.recurrent import Recurrent, RecurrentKind
from dagc.degrees import AxisKind
from dagc.lower.attention import add_attention
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_gather, add_gemm, add_norm, add_reduction
from dagc.ops.load import max_rank
from dagc.ops.recurrence import Recurrence


def add_mixer(builder: TemplateBuilder, stage: Stage, batch: Batch, kind: LayerKind) -> None:
    """Add the mixer of a kind of layer; nothing where it has none."""
    if kind.attention:
        add_attention(builder, stage, batch, kind)
    elif kind.recurrent:
        _add_recurrent(builder, stage, batch, kind.recurrent)


def _add_recurrent(builder: TemplateBuilder, stage: Stage, batch: Batch, mixer: Recurrent) -> None:
    """The mixer's block, from its norm to the reduction of its output."""
    share = mixer.share(stage.attention.tp)
    columns, inner = ceil(mixer.columns * share), ceil(mixer.inner * share)
    add_norm(builder, stage, "mixer.norm", Part.MIXERS, batch.tokens / stage.sequence_shards)
    add_gather(builder, stage, "mixer.all_gather", batch.tokens)
    source = builder.last
    split = ("f", AxisKind.TP)
    projected = stage.tensor({"t": max_rank(batch.tokens), "f": columns}, split=split)
    apart = ceil(2 * mixer.heads * share) if mixer.kind is RecurrentKind.GATED_DELTA_NET else 0
    if apart:
        gates = stage.tensor({"t": max_rank(batch.tokens), "f": apart}, split=split)
        matrix = stage.matrix(apart, stage.shapes.hidden, Part.MIXERS)
        add_gemm(builder, stage, "mixer.gates", batch.tokens, matrix, gates)
    matrix = stage.matrix(columns - apart, stage.shapes.hidden, Part.MIXERS)
    add_gemm(builder, stage, "mixer.in", batch.tokens, matrix, projected, (source,))
    result = stage.tensor({"t": max_rank(batch.tokens), "f": inner}, split=split)
    recurrence = Recurrence(batch.tokens, batch.sequences, mixer, share, stage.activation)
    builder.add("mixer.recurrence", recurrence, result)
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    out = stage.matrix(stage.shapes.hidden, inner, Part.MIXERS)
    add_gemm(builder, stage, "mixer.out", batch.tokens, out, stage.hidden(batch.tokens, partial))
    add_reduction(builder, stage, "mixer", batch.tokens)
