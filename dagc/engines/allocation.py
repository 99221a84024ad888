"""What engines round when they allocate: rows of the vocabulary, tokens of a block of cache.

The vocabulary is padded so that every rank of tp holds as many rows: vLLM and SGLang pad it to a multiple of 64 first
(`DEFAULT_VOCAB_PADDING_SIZE` in `vocab_parallel_embedding.py` of both), Megatron-Core to a multiple of 128 for each
rank (`make_vocab_size_divisible_by`), TensorRT-LLM no further than tp asks for. Without an engine it is padded to tp.

A sequence's cache takes whole blocks: 16 tokens in vLLM (`CacheConfig.block_size`; some kernels ask for 64 or more), 1
in SGLang (`--page-size`), 32 in TensorRT-LLM (`tokens_per_block`), 256 in Megatron-Core's dynamic batching.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from dagc.engines.profiles import Profile


@dataclass(frozen=True, slots=True)
class Allocation:
    """The multiples of one engine; `vocab_multiple` counts for each rank of tp where `is_by_rank`."""

    block_tokens: int
    vocab_multiple: int = 1
    is_by_rank: bool = False


DEFAULT = Allocation(block_tokens=16)
"""Without an engine: blocks as vLLM has them, and whole rows of the vocabulary."""

_ALLOCATIONS = {
    "vllm": Allocation(16, 64),
    "sglang": Allocation(1, 64),
    "trtllm": Allocation(32),
    "megatron": Allocation(256, 128, is_by_rank=True),
}


def allocation(engine: Profile | None) -> Allocation:
    """The multiples of an engine, or the default."""
    return DEFAULT if engine is None else _ALLOCATIONS[engine.name]


def vocabulary_rows(vocab: int, tp: int, engine: Profile | None) -> int:
    """Rows of the embedding, or of the head, that each of `tp` ranks holds, its share of the padding included."""
    rounding = allocation(engine)
    multiple = rounding.vocab_multiple * tp if rounding.is_by_rank else lcm(rounding.vocab_multiple, tp)
    return rounded_up(vocab, multiple) // tp


def rounded_up(number: int, multiple: int) -> int:
    """The smallest multiple that is at least `number`."""
    return -(-number // multiple) * multiple
