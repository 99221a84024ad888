"""A recurrent mixer of one layer, keys `mixer.*`: projection, convolution and state, output, reduction.

Heads lie over attention's tp; a sequence's state is whole on each rank of cp and dcp. The convolution and the state are
one kernel that reads and writes the state once a sequence, in prefill as in decode.

FLOPs of a token: 2 for each element of the state and pass over it. A pass updates the state, one reads it, and with a
delta rule one more finds what the state holds for the key (Yang et al., "Gated delta networks", 2024). A prompt is
computed in chunks, inside which tokens meet in pairs; that is left out, about a sixth more at chunks of 64 and heads of
128.
"""

from __future__ import annotations

from math import ceil

from dagc.catalog.part import Part
from dagc.catalog.recurrent import Recurrent, RecurrentKind
from dagc.graph.ops import RECURRENCE
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder, Work, largest
from dagc.lower.stage import Stage, add_gather, add_gemm, add_norm, add_reduction
from dagc.syntax.tree import AxisKind

_DELTA_RULE = (RecurrentKind.GATED_DELTA_NET, RecurrentKind.KIMI_DELTA)


def add_recurrent(builder: TemplateBuilder, stage: Stage, batch: Batch, mixer: Recurrent) -> None:
    """The mixer's block, from its norm to the reduction of its output."""
    share = mixer.share(stage.attention.tp)
    columns, inner = ceil(mixer.columns * share), ceil(mixer.inner * share)
    add_norm(builder, stage, "mixer.norm", batch.tokens / stage.sequence_shards)
    add_gather(builder, stage, "mixer.all_gather", batch.tokens)
    split = ("f", AxisKind.TP)
    projected = stage.tensor({"t": largest(batch.tokens), "f": columns}, split=split)
    matrix = stage.matrix(columns, stage.shapes.hidden, Part.MIXERS)
    add_gemm(builder, stage, "mixer.in", batch.tokens, matrix, projected)
    result = stage.tensor({"t": largest(batch.tokens), "f": inner}, split=split)
    builder.add("mixer.recurrence", RECURRENCE, result, _recurrence(stage, batch, mixer, share))
    partial = AxisKind.TP if stage.attention.tp > 1 else None
    out = stage.matrix(stage.shapes.hidden, inner, Part.MIXERS)
    add_gemm(builder, stage, "mixer.out", batch.tokens, out, stage.hidden(batch.tokens, partial))
    add_reduction(builder, stage, "mixer", batch.tokens)


def _recurrence(stage: Stage, batch: Batch, mixer: Recurrent, share: float) -> Work:
    passes = 3 if mixer.kind in _DELTA_RULE else 2
    flops = 2.0 * share * (passes * mixer.state + mixer.channels * mixer.kernel) * batch.tokens
    states = 2 * share * mixer.state_bytes(stage.activation) * batch.sequences
    each = ceil(share * (mixer.columns + mixer.inner) * stage.activation.bytes)
    shape = (("tokens", largest(batch.tokens)), ("state", ceil(mixer.state * share)), ("moved", each))
    return Work(flops, states + each * batch.tokens, stage.activation, shape)
