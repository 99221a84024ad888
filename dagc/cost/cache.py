"""KV cache and states that each rank holds, in whole blocks.

A rank keeps the sequences of its attention-dp share, for the layers of its stage: keys and values of its KV heads (at
least one, so tp beyond the KV heads holds copies), or the whole latent and rotary key of MLA, which is the same on all
of tp. Context parallelism (cp) and decode-context parallelism (dcp) cut the positions. A sequence has its prompt and
all of its output, or in a prefill pool its prompt; a layer with a sliding window keeps at most the window. A recurrent
layer keeps the state of the rank's heads, whole on each rank of cp and dcp, whatever the length.

What a rank keeps of a sequence takes whole blocks of `Holding.block` tokens, in windowed layers too.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dagc.catalog.attention import Reach
from dagc.catalog.cache import entry_bytes, index_bytes, state_bytes
from dagc.catalog.model import LayerKind, ModelShapes
from dagc.cost.holding import Bytes, Holding
from dagc.degrees import AxisKind
from dagc.engines.runtime import rounded_up
from dagc.plan.deployment import Phase


def cache_bytes(holding: Holding) -> Bytes:
    """Bytes of cache, shape (stages, width)."""
    return cache_at(holding, sequence_length(holding))


def cache_at(holding: Holding, length: int) -> Bytes:
    """Bytes of cache when all sequences have so many tokens, shape (stages, width)."""
    if holding.attention is None:
        return holding.zeros()
    return sequence_bytes(holding, length) * holding.sequences[None, :]


def sequence_length(holding: Holding) -> int:
    """Tokens of a sequence whose cache the pool keeps."""
    workload = holding.plan.facts.workload
    return workload.prompt if holding.service.phase is Phase.PREFILL else workload.prompt + workload.output


def cache_parts(holding: Holding) -> int:
    """Ranks over which the positions of one sequence are cut."""
    if holding.attention is None:
        return 1
    is_prefill = holding.service.phase is Phase.PREFILL
    return holding.attention.cp * (1 if is_prefill else holding.service.options.decode_context)


def sequence_bytes(holding: Holding, length: int) -> Bytes:
    """Bytes that one sequence of so many tokens takes on a rank of each stage, shape (stages, 1)."""
    tp, parts = holding.attention.tp if holding.attention else 1, cache_parts(holding)
    each = {kind: _layer_bytes(holding.shapes, kind, tp, parts, holding.block, length) for kind in holding.distinct}
    return holding.by_stage([sum(n * each[kind] for kind, n in kinds.items()) for kinds in holding.kinds])


def block_bytes(holding: Holding) -> Bytes | None:
    """Bytes of one block over the layers of each stage, shape (stages, 1).

    None where it does not tell what a sequence takes: where a layer keeps a window, a state or compressed entries.
    """
    kinds = holding.distinct
    if holding.attention is None or any(kind.recurrent or kind.reach != Reach(top=kind.reach.top) for kind in kinds):
        return None
    return sequence_bytes(holding, holding.block * cache_parts(holding))


@lru_cache(maxsize=1024)
def _layer_bytes(shapes: ModelShapes, kind: LayerKind, tp: int, parts: int, block: int, length: int) -> float:
    """Bytes that a sequence takes in one layer on one of tp ranks, cut over `parts`, in blocks of so many tokens."""
    if kind.attention is None:
        return state_bytes(shapes, kind, tp)
    reach = kind.reach
    whole = rounded_up(-(-length // parts), block)
    entries = rounded_up(-(-int(reach.near(length)) // parts), block) + (-(-whole // reach.ratio) if reach.ratio else 0)
    return entries * entry_bytes(kind.attention, shapes.kv_dtype, tp) + whole * index_bytes(kind.attention)


def capacity_tokens(holding: Holding, free: Bytes) -> Bytes:
    """Tokens of sequences whose cache fits into `free` bytes of each rank, shape (stages, width).

    Whole blocks of tokens; where `block_bytes` does not tell, whole sequences of the workload's length. A sequence that
    is cut over several ranks counts whole on each of them. Infinite where the rank keeps nothing of a sequence.
    """
    if holding.attention is None:
        return np.full_like(free, np.inf)
    each, tokens = block_bytes(holding), holding.block * cache_parts(holding)
    if each is None:
        tokens = sequence_length(holding)
        each = sequence_bytes(holding, tokens)
    fitting = np.floor(np.maximum(free, 0.0) / np.where(each > 0, each, 1.0)) * tokens
    return np.where(each > 0, fitting, np.inf)


def replica_tokens(holding: Holding, tokens: Bytes) -> float:
    """Tokens of a replica, from those of each rank: over the shares of dp, what the rank with least room has.

    All ranks of a share, in all stages, keep their part of the same sequences.
    """
    if holding.attention is None:
        return float("inf")
    smallest = np.full(holding.attention.dp, np.inf)
    np.minimum.at(smallest, holding.attention.coordinate(AxisKind.DP), tokens.min(axis=0))
    return float(smallest.sum())
