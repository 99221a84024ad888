"""Weights that each rank holds, by part of the model.

Attention is cut by heads over its tp; a rank keeps at least one KV head, so KV heads are held more than once when tp
exceeds them. MLA's down-projections to the latents, and an indexer that chooses for all heads, stand before the heads
and are whole on every rank. Recurrent mixers are cut by their heads, dense feed-forward and shared experts by columns
over attention's tp (shared experts are whole with `[shared replicated]`). Whole on each rank are router and norms, the
gate of shared experts, and biases that are added to a reduced result. An expert rank holds the slots of its ep index,
the remainder one each on the first, each cut over the experts' tp. The embedding is on the first stage, the head on the
last, both cut by rows of the padded vocabulary (`dagc.engines.engine.Runtime`); a tied matrix is on both where these
differ.

Shares are of whole heads, columns and rows, the largest where they do not divide, so bytes are exact integers (up to
the scales of a quantised type).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import attention_parameters, ffn_parameters, final_norm, layer_parameters, part_stored
from dagc.catalog.part import Part
from dagc.cost.holding import Bytes, Holding
from dagc.plan.splits import experts_per_rank


def weight_bytes(holding: Holding) -> dict[Part, Bytes]:
    """Bytes of each part that the pool holds, shape (stages, width), or width 1 where ranks of a stage hold as much."""
    found: dict[Part, Bytes] = {}
    if holding.attention is not None:
        tp, shapes = holding.attention.tp, holding.shapes
        shared_tp = 1 if holding.service.options.shared_replicated else tp
        rows = holding.plan.facts.runtime.vocabulary_rows(shapes.vocab, tp)
        stages = tuple([tuple(stage.items()) for stage in holding.kinds])
        found |= _beside_experts(shapes, stages, tp, shared_tp, rows)
    experts = _routed_experts(holding)
    if experts.any():
        found[Part.EXPERTS] = experts
    return {part: found[part] for part in Part if part in found}


@lru_cache(maxsize=256)
def layer_share(shapes: ModelShapes, kind: LayerKind, tp: int, shared_tp: int) -> Mapping[Part, float]:
    """Parameters of one layer on one of tp ranks by part, routed experts left out; the largest share of each.

    Shared experts are cut over `shared_tp`.
    """
    held: dict[Part, float] = {
        part: float(n) for part, n in layer_parameters(shapes, kind).items() if part is not Part.EXPERTS
    }
    if kind.attention:
        held[Part.ATTENTION] = attention_parameters(kind.attention.shard(tp), shapes.hidden)
    if kind.recurrent:
        held[Part.MIXERS] *= kind.recurrent.share(tp)
    if Part.DENSE_FFN in held:
        width = -(-shapes.dense_width(kind) // tp)
        held[Part.DENSE_FFN] = ffn_parameters(shapes.hidden, width, shapes.gated, shapes.ffn_bias)
    if Part.SHARED_EXPERTS in held:
        held[Part.SHARED_EXPERTS] = _shared(shapes, shared_tp)
    return held


def _shared(shapes: ModelShapes, tp: int) -> int:
    experts = shapes.experts
    if experts is None or not experts.shared_ffn:
        return 0
    gate = shapes.hidden if experts.shared_gate else 0
    return ffn_parameters(shapes.hidden, -(-experts.shared_ffn // tp), shapes.gated) + gate


_Stages = tuple[tuple[tuple[LayerKind, int], ...], ...]
"""By stage, how many layers it has of each kind."""


@lru_cache(maxsize=256)
def _beside_experts(shapes: ModelShapes, stages: _Stages, tp: int, shared_tp: int, rows: int) -> Mapping[Part, Bytes]:
    """Bytes of each part that a pool with attention holds beside routed experts, shape (stages, 1)."""
    held = _of_layers(shapes, stages, tp, shared_tp)
    _add_ends(shapes, held, rows, len(stages))
    return {part: _bytes(shapes, part, counts) for part, counts in held.items() if any(counts)}


def _bytes(shapes: ModelShapes, part: Part, counts: list[float]) -> Bytes:
    found = np.array(counts).reshape(-1, 1) * part_stored(shapes, part).bytes
    found.setflags(write=False)
    return found


def _of_layers(shapes: ModelShapes, stages: _Stages, tp: int, shared_tp: int) -> dict[Part, list[float]]:
    """Parameters by stage of what layers have beside routed experts."""
    kinds = {kind for stage in stages for kind, _ in stage}
    each = {kind: layer_share(shapes, kind, tp, shared_tp) for kind in kinds}
    parts = dict.fromkeys(part for share in each.values() for part in share)
    return {
        part: [sum([number * each[kind].get(part, 0.0) for kind, number in stage]) for stage in stages]
        for part in parts
    }


def _add_ends(shapes: ModelShapes, held: dict[Part, list[float]], rows: int, stages: int) -> None:
    """The embedding on the first stage; on the last the final norm, what goes with it, and the head.

    Embedding and head are one matrix where they are tied and meet. `rows` are those of the vocabulary on one rank.
    """
    is_one = shapes.tied and stages == 1
    head = (0 if is_one else rows * shapes.hidden) + (rows if shapes.head_bias else 0)
    for part, stage, number in (
        (Part.EMBEDDING, 0, rows * shapes.hidden),
        (Part.NORMS, -1, final_norm(shapes)),
        (Part.OTHER, -1, shapes.other_final),
        (Part.HEAD, -1, head),
    ):
        held.setdefault(part, [0.0] * stages)[stage] += number


def _routed_experts(holding: Holding) -> Bytes:
    shapes, layout, experts = holding.shapes, holding.experts, holding.shapes.experts
    if layout is None or experts is None:
        return holding.zeros()
    held = experts_per_rank(layout, experts.count, holding.service.options.redundant)
    one = ffn_parameters(experts.width(shapes.hidden), -(-experts.ffn // layout.tp), shapes.gated, experts.bias)
    return holding.layers(FfnKind.MOE) * held[None, :] * (one * part_stored(shapes, Part.EXPERTS).bytes)
