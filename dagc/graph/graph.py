"""The graph, grouped.

A template is a small graph of nodes over one or two teams of ranks (the stage's own, and an experts' pool; in the
KV-cache transfer a prefill stage and every decode stage that it feeds). A
stage's program is a short list of segments, each a template repeated back to back. A node is one operator
of (stage, layer, micro-batch) over all ranks of its team, SPMD; work that differs between ranks is a vector.
Nothing here is proportional to layers, micro-batches or GPUs, except those vectors where load is uneven.

Replicas of a service that do the same on equally fast ranks are one class, and a phase is that of one class. Where
there are several (a remainder of sequences, a slowed rank), `Graph.others` holds the phases of the further ones.

A tensor's dimensions are in a fixed order of letters, sizes as one rank holds them (the largest rank's where ranks
differ): `t` tokens, `s` context (positions in the cache), `h` heads, `d` head width, `m` model width (hidden), `f`
feed-forward width, `e` experts, `k` experts chosen a token, `v` vocabulary, `c` latent width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from dagc.catalog.dtype import Dtype
from dagc.degrees import AxisKind
from dagc.ops.communication import Communication
from dagc.ops.load import Load
from dagc.ops.op import Computation, Op
from dagc.plan.deployment import Phase
from dagc.plan.layout import Ranks
from dagc.source import Span

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


INPUT = -1
"""As an input index: the template's own input. Stream i of a template with several is `INPUT - i`."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of one template.

    `key` is unique in the template (`attention.qkv`). `team` indexes the program's teams. `inputs` are data edges
    and `after` order edges, both indices of earlier nodes of the template (or `INPUT`). `fused_into` is the node whose
    kernel does this node's work: such a node takes no time and carries no work of its own. `span` is the place in the
    plan that it comes from.
    """

    key: str
    op: Op
    team: int
    inputs: tuple[int, ...]
    after: tuple[int, ...]
    output: Tensor
    fused_into: int | None = None
    span: Span | None = None

    @property
    def flops(self) -> Load:
        """Arithmetic by rank."""
        return self.op.flops

    @property
    def memory_bytes(self) -> Load:
        """HBM traffic by rank."""
        return self.op.memory_bytes

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """What a person wants to see of the operator."""
        return self.op.shape

    @property
    def dtype(self) -> Dtype:
        """The type of the arithmetic; that of its output where it computes nothing."""
        return self.op.dtype if isinstance(self.op, Computation) else self.output.dtype

    @property
    def communication(self) -> Communication | None:
        """The operator, where it is a communication."""
        return self.op if isinstance(self.op, Communication) else None


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A small graph. `nodes` are in program order, which is the order of each lane and a topological one.

    `outputs` holds, for each stream, the node that yields what the next segment takes as `INPUT`. A template has
    two streams when two micro-batches are interleaved in it (`overlap 2`); keys then start with `a.` and `b.`.
    """

    key: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """The ranks that run a node together: one stage of one pool. `ranks` are global, of the replica shown.

    In the KV-cache transfer they are those of the stage in all replicas that take part together.
    `slowdown` by rank is how many times as long as stated a computation takes, shape (1,) where all are alike, else
    (width,). Teams that share a template have the same.
    """

    pool: str
    stage: int
    ranks: Ranks
    slowdown: Load = field(default_factory=lambda: np.ones(1))

    @property
    def width(self) -> int:
        """Ranks of the team."""
        return int(self.ranks.shape[0])


@dataclass(frozen=True, slots=True)
class Segment:
    """Template number `template`, `count` times back to back; `first_layer` is None outside the layers."""

    template: int
    count: int
    first_layer: int | None


@dataclass(frozen=True, slots=True)
class StageProgram:
    """What one stage does for one micro-batch. `teams` indexes the phase's teams; the first is the stage's own."""

    stage: int
    teams: tuple[int, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PhaseGraph:
    """One phase of one service: a prefill of the whole batch, one decode step, or the KV-cache transfer.

    `programs[size][stage]`: micro-batches come in one or two sizes; `micro_batches[i]` is the size of the i-th and
    `sequences[size]` how many sequences of the replica it holds. `replicas` are the replicas of the service that the
    graph represents, numbered as in `Deployment.global_ranks`, in order: they hold as many sequences, on ranks slowed
    in the same way; teams name the ranks of the first of them. The cache transfer has `phase` `both`, and is that of
    the first replicas that take part together. `service` is the name that pools and messages use (`main`, `prefill`,
    `decode`), or `handover`.
    """

    phase: Phase
    service: str
    teams: tuple[Team, ...]
    templates: tuple[Template, ...]
    programs: tuple[tuple[StageProgram, ...], ...]
    micro_batches: tuple[int, ...]
    sequences: tuple[int, ...]
    replicas: tuple[int, ...] = (0,)

    def segments(self) -> Iterator[tuple[int, StageProgram, int, Segment]]:
        """Every segment once, as (size, program, position in the program, segment), in order."""
        for size, programs in enumerate(self.programs):
            for program in programs:
                for position, segment in enumerate(program.segments):
                    yield size, program, position, segment

    @property
    def uses(self) -> tuple[int, ...]:
        """How many micro-batches each size has."""
        return tuple([self.micro_batches.count(size) for size in range(len(self.programs))])

    @property
    def copies(self) -> dict[int, int]:
        """How often each template is executed, over stages, layers and micro-batches."""
        counts: dict[int, int] = {}
        for uses, programs in zip(self.uses, self.programs, strict=True):
            for program in programs:
                for segment in program.segments:
                    counts[segment.template] = counts.get(segment.template, 0) + segment.count * uses
        return counts

    @property
    def executions(self) -> int:
        """Operator executions of the phase, over stages, layers and micro-batches (not ranks)."""
        return sum(count * len(self.templates[template].nodes) for template, count in self.copies.items())


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """All phases of a deployment. `handover` moves the KV cache from prefill to decode where these have own pools.

    `prefill` and `decode` are those of one class of replicas: of the first replica as lowered, of the slowest class
    once times are known (`showing`). `others` are prefill and decode of the further classes, of each service in the
    order of their first replicas. Replicas without a sequence are in no class.
    """

    prefill: PhaseGraph
    decode: PhaseGraph
    handover: PhaseGraph | None
    replicas: int
    others: tuple[PhaseGraph, ...] = ()

    @property
    def phases(self) -> tuple[PhaseGraph, ...]:
        """Phases in the order of time, each of one class of replicas."""
        middle = (self.handover,) if self.handover else ()
        return (self.prefill, *middle, self.decode)

    @property
    def classes(self) -> tuple[PhaseGraph, ...]:
        """Phases of all classes of replicas: those of `phases` first."""
        return (*self.phases, *self.others)

    def showing(self, prefill: PhaseGraph, decode: PhaseGraph) -> Graph:
        """The same graph with these classes in front; both are among `classes`."""
        chosen = (prefill, self.handover, decode)
        others = tuple(phase for phase in self.classes if not any(phase is one for one in chosen))
        return replace(self, prefill=prefill, decode=decode, others=others)
