"""A strategy with its meaning: how many GPUs, in which pools, stages and domains.

A deployment is `replicas` copies of one or two services (one for both phases, or one each for prefill and decode).
A service is again replicas, each of `stages` pipeline stages over one pool, or over an attention pool beside an
experts' pool. Global ranks follow the nesting of the text, innermost fastest, branches of `|` in written order;
`placement` numbers them as an engine does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dagc.engines.runtime import ExpertExchange, LayerSplit
from dagc.plan.layout import Layout, Ranks
from dagc.source import Span
from dagc.syntax.tree import NamedStrategy


class Phase(StrEnum):
    """What a service does to a request."""

    BOTH = "both"
    PREFILL = "prefill"
    DECODE = "decode"


class Role(StrEnum):
    """What of a layer a pool computes: all of it, all but the experts, or only the experts."""

    ALL = "all"
    ATTENTION = "attention"
    EXPERTS = "experts"


@dataclass(frozen=True, slots=True)
class Pool:
    """The GPUs of one role in one service.

    `width` is W, ranks a stage. `stages` is 1 for an experts' pool that serves every stage of its replica.
    `attention` is None in a pool of role EXPERTS, `experts` in one of role ATTENTION or of a dense model's pool.
    `first_rank` and the strides number the ranks: see `global_ranks`. The ranks of a stage are consecutive, or come in
    runs of `run`, of which each starts `run_stride` after the one before it.
    """

    name: str
    role: Role
    stages: int
    width: int
    attention: Layout | None
    experts: Layout | None
    device: str | None
    first_rank: int
    stage_stride: int
    run: int | None = None
    run_stride: int = 0

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of this pool in one replica of its service."""
        return self.stages * self.width

    def local_ranks(self, stage: int) -> Ranks:
        """Ranks of a stage, counted from the first rank of the service's replica, shape (width,)."""
        first = self.first_rank + min(stage, self.stages - 1) * self.stage_stride
        number, within = np.divmod(np.arange(self.width, dtype=np.int64), self.run or self.width)
        return first + number * self.run_stride + within


@dataclass(frozen=True, slots=True)
class Options:
    """What the bracketed options of a service's axes say; the default is what an absent option means.

    `micro` None: as many micro-batches as stages. `layers` None: an even split, the remainder as the service says.
    `exchange` None: as the engine does by default.
    `spans` are in `option_spans` of the service.
    """

    micro: int | None = None
    layers: tuple[int, ...] | None = None
    redundant: int = 0
    overlap: int = 1
    sequence_parallel: bool = False
    decode_context: int = 1
    shared_replicated: bool = False
    shared_beside: bool = False
    exchange: ExpertExchange | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One phase's, or both phases', replicas.

    `first_rank` is that of its replica 0 inside replica 0 of the deployment; replica i starts `replica_stride`
    later. `pools` holds one pool, or the attention pool and then the experts' pool. `layer_split` says which stages
    take what is left of layers that do not divide.
    """

    phase: Phase
    replicas: int
    stages: int
    pools: tuple[Pool, ...]
    options: Options
    option_spans: tuple[tuple[str, Span], ...]
    first_rank: int
    replica_stride: int
    span: Span
    layer_split: LayerSplit = LayerSplit.FIRST

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one replica, all pools."""
        return sum(pool.gpus_per_replica for pool in self.pools)

    @property
    def attention_pool(self) -> Pool:
        """The pool that computes attention."""
        return self.pools[0]

    @property
    def experts_pool(self) -> Pool:
        """The pool that computes experts: the same one unless they have their own."""
        return self.pools[-1]

    @property
    def attention_ranks(self) -> int:
        """Groups of ranks of a replica with sequences of their own: attention's dp."""
        layout = self.attention_pool.attention
        return layout.dp if layout else 1

    def option_span(self, name: str) -> Span | None:
        """Where an option was written."""
        return dict(self.option_spans).get(name)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A whole strategy. `derivation` is the size as a proof, one line a step; the last line ends in `gpus`.

    `naive_product` multiplies all written degrees.
    """

    strategy: NamedStrategy
    replicas: int
    services: tuple[Service, ...]
    replica_stride: int
    gpus: int
    derivation: tuple[str, ...]
    naive_product: int

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.strategy.name

    def cache_count(self, service: Service) -> int:
        """Groups of ranks with KV caches of their own: attention's dp in each replica of a service."""
        return self.replicas * service.replicas * service.attention_ranks

    def all_ranks(self, service: Service) -> Ranks:
        """Global ranks of every replica of a service, its pools and stages one after the other.

        Shape (replicas, GPUs of a replica).
        """
        return self.ranks_of(service, [(pool, stage) for pool in service.pools for stage in range(pool.stages)])

    def ranks_of(self, service: Service, stages: Sequence[tuple[Pool, int]]) -> Ranks:
        """Global ranks of some stages in every replica of a service, shape (replicas, GPUs of these stages)."""
        first = np.concatenate([self.global_ranks(service, pool, stage) for pool, stage in stages])
        outer, inner = np.divmod(np.arange(self.replicas * service.replicas, dtype=np.int64), service.replicas)
        return first + (outer * self.replica_stride + inner * service.replica_stride)[:, None]

    def global_ranks(self, service: Service, pool: Pool, stage: int, replica: int = 0) -> Ranks:
        """Global ranks of a stage of a pool, shape (width,).

        `replica` counts all replicas of the service, inner ones fastest.
        """
        outer, inner = divmod(replica, service.replicas)
        first = outer * self.replica_stride + service.first_rank + inner * service.replica_stride
        return first + pool.local_ranks(stage)
