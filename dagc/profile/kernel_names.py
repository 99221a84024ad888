"""What a kernel does, by its name: `kernel_names.csv` has patterns of names, of which the first that fits holds.

Patterns are regular expressions without regard of case, after names of kernels of cuBLAS, CUTLASS, DeepGEMM, DeepEP,
FlashAttention, FlashInfer, FlashMLA, NCCL, vLLM, SGLang, TensorRT-LLM, aiter and hipBLASLt.
"""

from __future__ import annotations

import csv
import re
from enum import StrEnum
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("kernel_names.csv")


class KernelKind(StrEnum):
    """What a kernel does. The last ones have no operator of their own."""

    GEMM = "gemm"
    EXPERTS = "experts"
    ROUTER = "router"
    ATTENTION = "attention"
    INDEXER = "indexer"
    RECURRENCE = "recurrence"
    NORM = "norm"
    ACTIVATION = "activation"
    KV_WRITE = "kv_write"
    ROPE = "rope"
    AGGREGATE = "aggregate"
    SAMPLING = "sampling"
    EMBEDDING = "embedding"
    ALL_REDUCE = "all_reduce"
    ALL_GATHER = "all_gather"
    REDUCE_SCATTER = "reduce_scatter"
    ALL_TO_ALL = "all_to_all"
    DISPATCH = "dispatch"
    COMBINE = "combine"
    SEND_RECEIVE = "send_receive"
    CAST = "cast"
    GEMM_TAIL = "gemm_tail"
    NOTIFY = "notify"
    PERMUTE = "permute"
    COPY = "copy"
    OTHER = "other"
    IGNORED = "ignored"


COMMUNICATION = frozenset({
    KernelKind.ALL_REDUCE, KernelKind.ALL_GATHER, KernelKind.REDUCE_SCATTER, KernelKind.ALL_TO_ALL,
    KernelKind.DISPATCH, KernelKind.COMBINE, KernelKind.SEND_RECEIVE, KernelKind.NOTIFY,
})  # fmt: skip
"""Kinds that exchange."""

AUXILIARY = frozenset({
    KernelKind.CAST, KernelKind.GEMM_TAIL, KernelKind.NOTIFY, KernelKind.PERMUTE, KernelKind.COPY, KernelKind.OTHER,
    KernelKind.ROPE, KernelKind.IGNORED,
})  # fmt: skip
"""Kinds that are often there without an operator of a graph."""

_K = KernelKind
_OF_OPERATORS: dict[str, frozenset[KernelKind]] = {
    "gemm": frozenset({_K.GEMM}),
    "router": frozenset({_K.GEMM, _K.ROUTER}),
    "grouped_gemm": frozenset({_K.EXPERTS}),
    "attention_core": frozenset({_K.ATTENTION}),
    "indexer": frozenset({_K.INDEXER}),
    "indexer_inputs": frozenset({_K.INDEXER, _K.NORM, _K.ROPE, _K.CAST}),
    "recurrence": frozenset({_K.RECURRENCE}),
    "norm": frozenset({_K.NORM}),
    "head_norm": frozenset({_K.NORM}),
    "rotary": frozenset({_K.ROPE}),
    "activation": frozenset({_K.ACTIVATION}),
    "kv_write": frozenset({_K.KV_WRITE, _K.ROPE}),
    "aggregate": frozenset({_K.AGGREGATE}),
    "sampling": frozenset({_K.SAMPLING}),
    "embedding": frozenset({_K.EMBEDDING}),
    "all_reduce": frozenset({_K.ALL_REDUCE}),
    "all_gather": frozenset({_K.ALL_GATHER}),
    "reduce_scatter": frozenset({_K.REDUCE_SCATTER}),
    "dispatch": frozenset({_K.DISPATCH, _K.ALL_TO_ALL, _K.ALL_GATHER}),
    "combine": frozenset({_K.COMBINE, _K.ALL_TO_ALL, _K.REDUCE_SCATTER}),
    "send": frozenset({_K.SEND_RECEIVE}),
    "receive": frozenset({_K.SEND_RECEIVE}),
}
"""Kinds of kernels that may be an operator, by its name."""


def kinds_of(operator: str) -> frozenset[KernelKind]:
    """Kinds of kernels that may be an operator of this name."""
    return _OF_OPERATORS.get(operator, frozenset({KernelKind.OTHER}))


@cache
def kind_of(name: str) -> KernelKind:
    """What a kernel of this name does."""
    for kind, pattern in _patterns():
        if pattern.search(name):
            return kind
    return KernelKind.OTHER


@cache
def _patterns() -> tuple[tuple[KernelKind, re.Pattern[str]], ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple((KernelKind(row["kind"]), re.compile(row["pattern"], re.I)) for row in csv.DictReader(file))
