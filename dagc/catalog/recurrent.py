"""A layer that mixes tokens through a state of fixed size: linear attention and state-space layers.

All of them project the input to some columns, pass part of these through a short causal convolution, update a state
with each token and read it, and project the result back. They differ in widths (`RecurrentKind` names
their sources).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dagc.catalog.dtype import Dtype


class RecurrentKind(StrEnum):
    """Gated delta net (Yang et al. 2024), Kimi delta attention (Kimi Linear, 2025), lightning attention (MiniMax-01,
    2025), Mamba and Mamba-2 (Gu, Dao 2023 and 2024), and the gated short convolution of LFM2, which has no other state.
    """

    GATED_DELTA_NET = "gated_delta_net"
    KIMI_DELTA = "kimi_delta"
    LIGHTNING = "lightning"
    MAMBA = "mamba"
    MAMBA2 = "mamba2"
    SHORT_CONV = "short_conv"


@dataclass(frozen=True, slots=True)
class Recurrent:
    """Shapes of one such layer, in elements; `heads` are what tensor parallelism cuts.

    `columns` are what the input is projected to, `inner` the width of the result before the output projection.
    `channels` pass through a convolution over `kernel` tokens. `other` are further parameters: low-rank projections,
    decays, biases; `norm` those of the layer's own norm. `state` is kept of a sequence in `state_dtype`, and of the
    convolution the last kernel - 1 tokens of every channel, in the type of activations.
    """

    kind: RecurrentKind
    heads: int
    columns: int
    inner: int
    channels: int
    kernel: int
    state: int
    other: int = 0
    norm: int = 0
    state_dtype: Dtype = Dtype.FP32

    def parameters(self, hidden: int) -> int:
        """All but the norm."""
        return hidden * (self.columns + self.inner) + self.channels * self.kernel + self.other

    def state_bytes(self, activation: Dtype) -> float:
        """Bytes that one sequence takes, whatever its length."""
        return self.state * self.state_dtype.bytes + self.channels * (self.kernel - 1) * activation.bytes

    def share(self, tp: int) -> float:
        """Share of heads on the fullest of `tp` ranks, and so of parameters, state and arithmetic."""
        return -(-self.heads // tp) / self.heads
