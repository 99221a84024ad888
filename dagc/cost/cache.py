"""KV cache and states that each rank holds.

A rank keeps the sequences of its attention-dp share, for the layers of its stage: keys and values of its KV heads (at
least one, so tp beyond the KV heads holds copies), or the whole latent and rotary key of MLA, which is the same on all
of tp. Context parallelism (cp) and decode-context parallelism (dcp) cut the positions. A sequence has its prompt and
all of its output, or in a prefill pool its prompt; a layer with a sliding window keeps at most the window. A recurrent
layer keeps the state of the rank's heads, whole on each rank of cp and dcp, whatever the length.
"""

from __future__ import annotations

from dagc.catalog.cache import sequence_bytes, state_bytes
from dagc.cost.holding import Bytes, Holding
from dagc.plan.deployment import Phase


def cache_bytes(holding: Holding) -> Bytes:
    """Bytes of cache, shape (stages, width)."""
    layout = holding.attention
    if layout is None:
        return holding.zeros()
    workload, shapes = holding.plan.facts.workload, holding.shapes
    prefill_only = holding.service.phase is Phase.PREFILL
    length = workload.prompt if prefill_only else workload.prompt + workload.output
    parts = layout.cp * (1 if prefill_only else holding.service.options.decode_context)
    each = {
        kind: sequence_bytes(shapes, kind, length, layout.tp) / parts + state_bytes(shapes, kind, layout.tp)
        for kind in set(shapes.layer_kinds())
    }
    stages = [sum(each[kind] for kind in kinds) for kinds in holding.kinds()]
    return holding.by_stage(stages) * holding.sequences()[None, :]
