"""Tensor types: element type, dimensions in a fixed letter order, and placement.

Letters: `t` tokens, `s` context (positions in the cache), `h` heads, `d` head width, `m` model width (hidden),
`f` feed-forward width, `e` experts, `k` experts chosen a token, `v` vocabulary, `c` latent width. Dimensions are
listed in this order, sizes as one rank holds them (the largest rank's where ranks differ).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dagc.catalog.dtype import Dtype
from dagc.degrees import AxisKind

LETTERS = "tshdmfekvc"


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension: a letter of `LETTERS` and the size that one rank holds."""

    letter: str
    size: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """The value at a port.

    `sharded` names (letter, axis) pairs: the dimension is split over that axis of the node's domain. `partial` is
    the axis over which values are still to be summed. What is neither is replicated.
    """

    dtype: Dtype
    dims: tuple[Dim, ...]
    sharded: tuple[tuple[str, AxisKind], ...] = ()
    partial: AxisKind | None = None

    @property
    def elements(self) -> int:
        """Elements that one rank holds."""
        return prod(dim.size for dim in self.dims)

    @property
    def bytes(self) -> float:
        """Bytes that one rank holds."""
        return self.elements * self.dtype.bytes

    def __str__(self) -> str:
        """Canonical text, e.g. `bf16[t=4096/dp, m=7168] +tp`: `/axis` sharded over it, `+axis` partial sums."""
        axes = dict(self.sharded)
        dims = (f"{d.letter}={d.size}" + (f"/{axes[d.letter]}" if d.letter in axes else "") for d in self.dims)
        tail = f" +{self.partial}" if self.partial else ""
        return f"{self.dtype}[{', '.join(dims)}]{tail}"
