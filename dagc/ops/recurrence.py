"""Recurrent mixers: a convolution and a state that each token changes.

    seconds = launch + states / (memory share · bandwidth) + tokens / (tokens share · bandwidth)

`states` are the bytes of the sequences' states, read and written once; `tokens` those that tokens bring and take. Where
a prompt is computed in chunks, kernels hand on what tokens of a chunk are to each other, several times what goes in
and comes out, so that the reached share of the bandwidth is small. Both lie behind each other: the kernels of a step
wait for each other (Yang et al., "Gated delta networks", 2024; its kernels in fla-org/flash-linear-attention).

FLOPs of a token: 2 for each element of the state and pass over it. A pass updates the state, one reads it, and with a
delta rule one more finds what the state holds for the key (Yang et al., 2024). A prompt is computed in chunks, inside
which tokens meet in pairs; that is left out, about a sixth more at chunks of 64 and heads of 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from dagc.catalog.calibration import Work
from dagc.catalog.dtype import Dtype
from dagc.catalog.recurrent import Recurrent, RecurrentKind
from dagc.ops.formula import LAUNCH, STREAM, Coefficient, Coefficients, Formula, Inputs, Machine, Terms
from dagc.ops.lazy import lazy
from dagc.ops.load import Load, compress_uniform, max_rank
from dagc.ops.op import Computation, OpKind

TOKENS = Coefficient("tokens", 0.1, 0.01, 1.0, "share of the bandwidth at which bytes of tokens go through all kernels")


def recurrent_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: states and tokens, in bytes."""
    states = x["states"] / (machine.bytes_per_second * c["memory"])
    tokens = x["tokens"] / (machine.bytes_per_second * c["tokens"])
    return Terms(launch=c["launch"], compute=np.zeros_like(tokens), memory=states + tokens, power=1.0)


RECURRENT = Formula("recurrent", (LAUNCH, STREAM, TOKENS), ("states", "tokens"), recurrent_terms)

_DELTA_RULE = (RecurrentKind.GATED_DELTA_NET, RecurrentKind.KIMI_DELTA)


@dataclass(frozen=True, eq=False)
class Recurrence(Computation):
    """Convolution, update and read of the state, one kernel that reads and writes a sequence's state once.

    A rank has `share` of the mixer's heads.
    """

    tokens: Load
    sequences: Load
    mixer: Recurrent
    share: float
    activation: Dtype

    name = "recurrence"
    work = Work.ATTENTION
    title = "convolution, update and read of the state"
    own_regimes = ("recurrence", "elementwise")
    keeps = "t"
    family = OpKind.OTHER

    @property
    def dtype(self) -> Dtype:
        """The type of activations."""
        return self.activation

    @property
    def token_bytes(self) -> int:
        """What a token brings and takes."""
        return ceil(self.share * (self.mixer.columns + self.mixer.inner) * self.activation.bytes)

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """Tokens, elements of the state, bytes that a token brings and takes."""
        state = ceil(self.mixer.state * self.share)
        return (("tokens", max_rank(self.tokens)), ("state", state), ("moved", self.token_bytes))

    @lazy
    def flops(self) -> Load:
        """Of the passes over the state, and of the convolution."""
        mixer, passes = self.mixer, 3 if self.mixer.kind in _DELTA_RULE else 2
        return compress_uniform(2.0 * self.share * (passes * mixer.state + mixer.channels * mixer.kernel) * self.tokens)

    @lazy
    def memory_bytes(self) -> Load:
        """States read and written, and tokens."""
        return compress_uniform(self._states + self.token_bytes * self.tokens)

    @property
    def _states(self) -> Load:
        return 2 * self.share * self.mixer.state_bytes(self.activation) * self.sequences

    @lazy
    def inputs(self) -> dict[str, Load]:
        """Bytes of states and of tokens."""
        return {"states": compress_uniform(self._states), "tokens": compress_uniform(self.token_bytes * self.tokens)}
