"""The core of attention: scores, softmax, weighted values.

Prefill cuts the queries of each head into rows of 128, which differ in length under a causal mask:

    arithmetic = (2·heads·width·(pairs + start·queries) + wave · longest row · processors) / (peak share · peak)

`start` is what each query costs before the first position, in positions; the longest row, 128 queries with the whole
context, is waited for at the end (Graham's bound on list scheduling, 1969).

Decode reads the cache once for all queries of a key-value head. Products on tensor cores have a least number of rows,
64 on Hopper; a head that serves fewer queries computes as many:

    arithmetic = 2 · kv_heads · max(rows, heads / kv_heads) · width · pairs / (peak share · peak)

and each sequence costs `sequence` seconds of its own, spread over the device, and reads `page` positions past its end.
`width` is that of a key and a value together; latent attention (MLA) has one key-value head whose value is a part of
its key. Rows: FlashAttention-3 (Shah et al., 2024) and FlashMLA.
"""

from __future__ import annotations

import numpy as np

from dagc.cost.formula import (
    LAUNCH,
    PEAK,
    POWER,
    STREAM,
    WAVE,
    Coefficients,
    Formula,
    Inputs,
    Machine,
    Parameter,
    Terms,
)

ROWS = 128
"""Queries that prefill takes at once."""

START = Parameter("start", 200.0, 0.0, 3000.0, "positions that each query costs before its first one")
SEQUENCE = Parameter("sequence", 1e-8, 0.0, 2e-6, "seconds for each sequence")
LEAST = Parameter("rows", 32.0, 1.0, 64.0, "rows of the smallest product, in queries")
PAGE = Parameter("page", 16.0, 0.0, 2000.0, "positions that are read of each sequence past its end")


def prefill_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: pairs of query and position, queries, of all sequences; sequences, heads, width, bytes."""
    each = 2.0 * x["width"]
    length = x["queries"] / np.maximum(x["sequences"], 1.0)
    longest = each * np.minimum(ROWS, length) * (length + c["start"])
    work = each * x["heads"] * (x["pairs"] + c["start"] * x["queries"]) + c["wave"] * longest * machine.processors
    return Terms(
        launch=c["launch"],
        compute=work / (machine.flops_per_second * c["peak"]),
        memory=x["bytes"] / (machine.bytes_per_second * c["memory"]),
        power=c["power"],
    )


def decode_terms(c: Coefficients, x: Inputs, machine: Machine) -> Terms:
    """Inputs: pairs, sequences, heads, kv_heads, width, bytes of the context and of queries and results."""
    rows = np.maximum(c["rows"], x["heads"] / x["kv_heads"])
    work = 2.0 * x["kv_heads"] * rows * x["width"] * x["pairs"]
    context = np.maximum(x["pairs"] / np.maximum(x["sequences"], 1.0), 1.0)
    return Terms(
        launch=c["launch"],
        compute=work / (machine.flops_per_second * c["peak"]),
        memory=x["bytes"] * (1.0 + c["page"] / context) / (machine.bytes_per_second * c["memory"]),
        power=c["power"],
        serial=c["sequence"] * x["sequences"],
    )


PREFILL = Formula(
    "attention_prefill", (PEAK, START, WAVE, STREAM, LAUNCH, POWER), ("queries", "pairs", "heads"), prefill_terms
)
DECODE = Formula(
    "attention_decode",
    (PEAK, LEAST, STREAM, LAUNCH, POWER, SEQUENCE, PAGE),
    ("pairs", "sequences", "heads"),
    decode_terms,
)
