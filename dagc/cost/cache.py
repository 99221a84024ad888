"""KV cache that each rank holds.

A rank keeps the sequences of its attention-dp share, for the layers of its stage: keys and values of its KV heads (at
least one, so tp beyond the KV heads holds copies), or the whole latent and rotary key of MLA, which is the same on all
of tp. Context parallelism (cp) and decode-context parallelism (dcp) cut the positions. A sequence has its prompt and
all of its output, or in a prefill pool its prompt; a layer with a sliding window keeps at most the window.
"""

from __future__ import annotations

import numpy as np

from dagc.catalog.model import AttentionKind, LayerKind, ModelShapes
from dagc.cost.holding import Bytes, Holding
from dagc.plan.deployment import Phase


def cache_bytes(holding: Holding) -> Bytes:
    """Bytes of cache, shape (stages, width)."""
    layout = holding.attention
    if layout is None:
        return holding.zeros()
    workload = holding.plan.facts.workload
    prefill_only = holding.service.phase is Phase.PREFILL
    length = workload.prompt if prefill_only else workload.prompt + workload.output
    positions = [float(sum(_kept(kind, length) for kind in kinds)) for kinds in holding.kinds()]
    parts = layout.cp * (1 if prefill_only else holding.service.options.decode_context)
    per_position = token_elements(holding.shapes, layout.tp) * holding.shapes.kv_dtype.bytes / parts
    return holding.by_stage(positions) * per_position * holding.sequences()[None, :]


def token_elements(shapes: ModelShapes, tp: int) -> int:
    """Elements of one token in one layer on one of tp ranks."""
    attention = shapes.attention
    if attention.kind is AttentionKind.MLA:
        return attention.kv_lora + attention.qk_rope
    return 2 * int(np.ceil(attention.kv_heads / tp)) * attention.head_dim


def _kept(kind: LayerKind, length: int) -> int:
    return length if kind.window is None else min(length, kind.window)
