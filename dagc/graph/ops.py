"""Every kind of operator, declared once; text, pictures, traces and the verifier derive from the declaration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What a picture tells apart: computation, communication, routing and aggregation."""

    COMPUTE = "compute"
    COMMUNICATION = "communication"
    ROUTING = "routing"


class Lane(StrEnum):
    """The resource of a rank that a node occupies; a lane runs one node at a time, in program order."""

    COMPUTE = "compute"
    COMMUNICATION = "communication"


@dataclass(frozen=True, slots=True)
class Op:
    """A kind of operator. `title` is what a person reads.

    `keeps` are the letters of the dimensions that the output has in the size of the inputs, where both have them.
    `in_exchange`: the kernel of the exchange before it does it, so that it is on the lane of communication.
    """

    name: str
    category: Category
    title: str
    keeps: str = ""
    in_exchange: bool = False

    @property
    def lane(self) -> Lane:
        """Communication has its lane, with what its kernels do; all else computes."""
        is_exchange = self.in_exchange or self.category is Category.COMMUNICATION
        return Lane.COMMUNICATION if is_exchange else Lane.COMPUTE


def _compute(name: str, title: str, keeps: str = "") -> Op:
    return Op(name, Category.COMPUTE, title, keeps)


def _communication(name: str, title: str, keeps: str = "m") -> Op:
    return Op(name, Category.COMMUNICATION, title, keeps)


def _routing(name: str, title: str, keeps: str) -> Op:
    return Op(name, Category.ROUTING, title, keeps)


EMBEDDING = _compute("embedding", "embedding lookup")
NORM = _compute("norm", "norm", "tm")
GEMM = _compute("gemm", "matrix product", "tsh")
GROUPED_GEMM = _compute("grouped_gemm", "matrix product of each held expert")
ACTIVATION = _compute("activation", "activation function", "t")
ATTENTION_CORE = _compute("attention_core", "scores, softmax, weighted values", "t")
KV_WRITE = _compute("kv_write", "write to the KV cache", "t")
KV_READ = _compute("kv_read", "read of the KV cache, streamed into the core", "hdc")
INDEXER = _compute("indexer", "scores of the positions, choice of the best", "t")
RECURRENCE = _compute("recurrence", "convolution, update and read of the state", "t")
SAMPLING = _compute("sampling", "sampling of the next token", "t")
ROUTER = _routing("router", "choice of experts", "t")
AGGREGATE = _routing("aggregate", "weighted sum of the chosen experts", "m")
COMBINED_SUM = Op(AGGREGATE.name, AGGREGATE.category, f"{AGGREGATE.title}, by the combine", AGGREGATE.keeps, True)
DISPATCH = _communication("dispatch", "dispatch of tokens to their experts")
COMBINE = _communication("combine", "combine of the experts' results")
ALL_REDUCE = _communication("all_reduce", "all-reduce", "tshdmfekvc")
ALL_GATHER = _communication("all_gather", "all-gather")
REDUCE_SCATTER = _communication("reduce_scatter", "reduce-scatter")
SEND = _communication("send", "send", "tshdmfekvc")
RECEIVE = _communication("receive", "receive")
