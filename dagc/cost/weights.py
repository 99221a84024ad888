"""Weights that each rank holds.

Attention is cut by heads over its tp; a rank keeps at least one KV head, so KV heads are held more than once when tp
exceeds them. MLA's down-projections to the latents, and an indexer, stand before the heads and are whole on every
rank. Recurrent mixers are cut by their heads, dense feed-forward and shared experts by columns over attention's tp
(shared experts are whole with `[shared replicated]`); router and norms are whole. An expert rank holds the slots of
its ep index, the remainder one each on the first, each cut over the experts' tp. The embedding is on the first stage,
the head on the last, both cut by vocabulary; a tied matrix is on both where these differ.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from dagc.catalog.mixer_parameters import attention_parameters
from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import expert_parameters, final_norm, layer_parameters, part_stored
from dagc.catalog.part import Part
from dagc.cost.holding import Bytes, Holding
from dagc.plan.splits import experts_per_rank


def weight_bytes(holding: Holding) -> Bytes:
    """Bytes of weights, shape (stages, width)."""
    return holding.zeros() + _attention_side(holding) + _routed_experts(holding)


def layer_share(shapes: ModelShapes, kind: LayerKind, tp: int, shared_tp: int) -> dict[Part, float]:
    """Parameters of one layer on one of tp ranks by part, routed experts left out; the largest share of each.

    Shared experts are cut over `shared_tp`.
    """
    whole = layer_parameters(shapes, kind)
    held: dict[Part, float] = {part: float(n) for part, n in whole.items() if part is not Part.EXPERTS}
    if kind.attention:
        held[Part.ATTENTION] = attention_parameters(kind.attention.shard(tp), shapes.hidden)
    if kind.recurrent:
        held[Part.MIXERS] *= kind.recurrent.share(tp)
    for part, parts in ((Part.DENSE_FFN, tp), (Part.SHARED_EXPERTS, shared_tp)):
        if part in held:
            held[part] /= parts
    return held


def _attention_side(holding: Holding) -> Bytes:
    """All but the routed experts, as a column by stage."""
    shapes, layout = holding.shapes, holding.attention
    if layout is None:
        return np.zeros((holding.pool.stages, 1))
    tp = layout.tp
    shared_tp = 1 if holding.service.options.shared_replicated else tp
    stages = [Counter(kinds) for kinds in holding.kinds()]
    each = {
        kind: sum(_bytes(shapes, part, n) for part, n in layer_share(shapes, kind, tp, shared_tp).items())
        for kind in set[LayerKind]().union(*stages)
    }
    layers = holding.by_stage([sum(number * each[kind] for kind, number in stage.items()) for stage in stages])
    return layers + _final(holding) + _vocabulary(holding, tp)


def _final(holding: Holding) -> Bytes:
    """The final norm and what goes with it, on the last stage."""
    shapes = holding.shapes
    _, last = holding.edges()
    return last * (_bytes(shapes, Part.NORMS, final_norm(shapes)) + _bytes(shapes, Part.OTHER, shapes.other_final))


def _vocabulary(holding: Holding, tp: int) -> Bytes:
    """Embedding on the first stage, head on the last; one matrix where they are tied and meet."""
    shapes = holding.shapes
    first, last = holding.edges()
    matrix = shapes.vocab * shapes.hidden / tp
    head = 0.0 if shapes.tied and holding.pool.stages == 1 else matrix
    head += shapes.vocab / tp if shapes.head_bias else 0
    return first * _bytes(shapes, Part.EMBEDDING, matrix) + last * _bytes(shapes, Part.HEAD, head)


def _routed_experts(holding: Holding) -> Bytes:
    shapes, layout = holding.shapes, holding.experts
    if layout is None or shapes.experts is None:
        return holding.zeros()
    held = experts_per_rank(layout, shapes.experts.count, holding.service.options.redundant)
    one = _bytes(shapes, Part.EXPERTS, expert_parameters(shapes) / layout.tp)
    return holding.layers(FfnKind.MOE) * held[None, :] * one


def _bytes(shapes: ModelShapes, part: Part, parameters: float) -> float:
    return parameters * part_stored(shapes, part).bytes
