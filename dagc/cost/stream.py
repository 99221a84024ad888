"""Work that is memory-bound: norms, activation functions, sums, casts, writes to the cache, sampling.

    seconds = launch + bytes / (memory share · bandwidth)

Of short streams the launch is most, so the reached bandwidth rises with the bytes. Arithmetic, where there is much
(recurrent mixers, scores of an indexer), goes at the device's flat achieved share and overlaps.
"""

from __future__ import annotations

from dagc.cost.formula import LAUNCH, STREAM, Coefficients, Formula, Inputs, Machine, Terms

POWER = 8.0
"""Arithmetic of such an operator hardly counts; where it does, the longer of the two decides."""


def stream_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: bytes, and flops that go at the machine's achieved rate."""
    return Terms(
        launch=c["launch"],
        compute=x["flops"] / machine.flops_per_second,
        memory=x["bytes"] / (machine.bytes_per_second * c["memory"]),
        power=POWER,
    )


STREAMED = Formula("stream", (LAUNCH, STREAM), ("bytes",), stream_terms, broadcasts=True)
