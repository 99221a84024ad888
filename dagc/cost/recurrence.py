"""Recurrent mixers: a convolution and a state that each token changes.

    seconds = launch + states / (memory share · bandwidth) + tokens / (tokens share · bandwidth)

`states` are the bytes of the sequences' states, read and written once; `tokens` those that tokens bring and take. Where
a prompt is computed in chunks, kernels hand on what tokens of a chunk are to each other, several times what goes in
and comes out, so that the reached share of the bandwidth is small. Both lie behind each other: the kernels of a step
wait for each other (Yang et al., "Gated delta networks", 2024; its kernels in fla-org/flash-linear-attention).
"""

from __future__ import annotations

import numpy as np

from dagc.cost.formula import LAUNCH, STREAM, Coefficients, Formula, Inputs, Machine, Parameter, Terms

TOKENS = Parameter("tokens", 0.1, 0.01, 1.0, "share of the bandwidth at which bytes of tokens go through all kernels")


def recurrent_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: states and tokens, in bytes."""
    states = x["states"] / (machine.bytes_per_second * c["memory"])
    tokens = x["tokens"] / (machine.bytes_per_second * c["tokens"])
    return Terms(launch=c["launch"], compute=np.zeros_like(tokens), memory=states + tokens, power=1.0)


RECURRENT = Formula("recurrent", (LAUNCH, STREAM, TOKENS), ("states", "tokens"), recurrent_terms)
