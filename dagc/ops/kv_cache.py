"""Writes to the KV cache, and reads of it."""

from __future__ import annotations

from dataclasses import dataclass

from dagc.catalog.dtype import Dtype
from dagc.ops.lazy import lazy
from dagc.ops.load import Load, compress_uniform
from dagc.ops.op import Computation, OpKind


@dataclass(frozen=True, eq=False)
class KvWrite(Computation):
    """Keys and values (or latents) of new tokens go to the cache: `elements` by rank, stored as `cache`."""

    elements: Load
    activation: Dtype
    cache: Dtype

    name = "kv_write"
    title = "write to the KV cache"
    keeps = "t"
    family = OpKind.ATTENTION

    @property
    def dtype(self) -> Dtype:
        """The type of the cache."""
        return self.cache

    @lazy
    def memory_bytes(self) -> Load:
        """Read as activations, written as the cache stores them."""
        return compress_uniform(self.elements * (self.activation.bytes + self.cache.bytes))


@dataclass(frozen=True, eq=False)
class KvRead(Computation):
    """The cache streams into the kernel of the core: no time and no work of its own."""

    cache: Dtype

    name = "kv_read"
    title = "read of the KV cache, streamed into the core"
    keeps = "hdc"
    family = OpKind.ATTENTION

    @property
    def dtype(self) -> Dtype:
        """The type of the cache."""
        return self.cache
