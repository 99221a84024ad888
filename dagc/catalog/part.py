"""The parts of a model, in the order in which a token passes them."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """A part of a model that is counted, stored and split by itself.

    `MIXERS` are the layers that mix tokens through a state instead of attention. `OTHER` is what belongs to none of the
    others: hyper-connections, projections to the latent space of experts, embeddings of positions and of single layers.
    """

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    MIXERS = "mixers"
    DENSE_FFN = "dense_ffn"
    ROUTER = "router"
    EXPERTS = "experts"
    SHARED_EXPERTS = "shared_experts"
    NORMS = "norms"
    OTHER = "other"
    HEAD = "head"
