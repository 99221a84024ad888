"""What one pool holds of the model and of the batch: layers by stage, sequences and tokens by rank.

Shared by the formulas of memory. All arrays have shape (stages of the pool, width of a stage).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, groupby, pairwise

import numpy as np
import numpy.typing as npt

from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.plan.deployment import Phase, Pool, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_sequences, prompt_tokens, sequences_per_rank, stage_layers

Bytes = npt.NDArray[np.float64]

Ranked = npt.NDArray[np.float64]
"""A figure of each rank of a stage, shape (width,)."""


@dataclass(frozen=True, eq=False)
class Holding:
    """One pool of one service, for a model with shapes. What several formulas ask for is worked out once."""

    plan: Plan
    shapes: ModelShapes
    service: Service
    pool: Pool
    _layers: dict[FfnKind | None, Bytes] = field(default_factory=dict["FfnKind | None", Bytes], repr=False)
    _tokens: dict[Phase, Ranked] = field(default_factory=dict[Phase, "Ranked"], repr=False)

    @property
    def attention(self) -> Layout | None:
        """How attention is split here; None in a pool of experts."""
        return self.pool.attention

    @property
    def experts(self) -> Layout | None:
        """How experts are split here; None where there are none."""
        return self.pool.experts if self.shapes.experts else None

    def zeros(self) -> Bytes:
        """Nothing on each rank."""
        return np.zeros((self.pool.stages, self.pool.width))

    @cached_property
    def kinds(self) -> tuple[Counter[LayerKind], ...]:
        """How many layers of each kind each stage of the pool has; a pool that serves every stage has all layers."""
        kinds = self.shapes.layer_kinds()
        counts = stage_layers(self.service, self.shapes.layers) if self.pool.stages > 1 else (self.shapes.layers,)
        ends = (0, *accumulate(counts))
        return tuple([_counted(kinds[start:end]) for start, end in pairwise(ends)])

    def by_stage(self, counts: list[float]) -> Bytes:
        """A figure for each stage, as a column."""
        return np.array(counts, dtype=np.float64).reshape(-1, 1)

    def layers(self, ffn: FfnKind | None = None) -> Bytes:
        """Layers of each stage, of one kind or all, as a column."""
        if ffn not in self._layers:
            counts = [[n for kind, n in kinds.items() if ffn in (None, kind.ffn)] for kinds in self.kinds]
            self._layers[ffn] = self.by_stage([sum(stage) for stage in counts])
        return self._layers[ffn]

    @cached_property
    def distinct(self) -> frozenset[LayerKind]:
        """The kinds of layer that the model has."""
        return frozenset[LayerKind]().union(*self.kinds)

    def edges(self) -> tuple[Bytes, Bytes]:
        """1 for the first stage, and 1 for the last, as columns."""
        first, last = np.zeros((self.pool.stages, 1)), np.zeros((self.pool.stages, 1))
        first[0], last[-1] = 1.0, 1.0
        return first, last

    @cached_property
    def sequences(self) -> Ranked:
        """Sequences of the fullest replica that each rank of a stage holds, shape (width,)."""
        return self._by_rank(self._fullest_replica())

    @cached_property
    def micro_batch(self) -> Ranked:
        """Sequences of the largest micro-batch that each rank of a stage holds, shape (width,)."""
        return self._by_rank(micro_batch_sequences(self.service, self._fullest_replica())[0])

    def _fullest_replica(self) -> int:
        return fullest_replica(self.plan.deployment, self.service, self.plan.facts.workload.batch)

    def _by_rank(self, sequences: int) -> Ranked:
        if self.attention is None:
            return np.full(self.pool.width, float(sequences))
        return sequences_per_rank(self.attention, sequences).astype(np.float64)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that the pool serves."""
        return (Phase.PREFILL, Phase.DECODE) if self.service.phase is Phase.BOTH else (self.service.phase,)

    @property
    def block(self) -> int:
        """Tokens of a block of cache: as the workload says, else the engine's."""
        return self.plan.facts.workload.block or self.plan.facts.runtime.block_tokens

    def tokens(self, phase: Phase) -> Ranked:
        """Most tokens that an attention rank computes at once, by local rank: in prefill at most the workload's chunk.

        Shape (width of the attention pool,).
        """
        if phase not in self._tokens:
            self._tokens[phase] = self._computed(phase)
        return self._tokens[phase]

    def _computed(self, phase: Phase) -> Ranked:
        if phase is Phase.DECODE or self.service.attention_pool.attention is None:
            return self._attending.micro_batch
        return np.minimum(self.plan.facts.workload.chunk, self._prompts)

    @property
    def is_chunked(self) -> bool:
        """Whether a rank has more prompt tokens of a micro-batch than it computes at once."""
        served = Phase.PREFILL in self.phases and self.service.attention_pool.attention is not None
        return served and float(self._prompts.max()) > self.plan.facts.workload.chunk

    @property
    def _prompts(self) -> Ranked:
        """Prompt tokens of a micro-batch without those that the prefix cache has, by attention rank."""
        layout, sequences = self.service.attention_pool.attention, self._attending.micro_batch
        return prompt_tokens(layout, sequences, self.plan.facts.workload.fresh) if layout else sequences

    @property
    def _attending(self) -> Holding:
        """The same of the pool that computes attention."""
        return self if self.service.attention_pool is self.pool else self._beside

    @cached_property
    def _beside(self) -> Holding:
        """The same of another pool, which computes attention. A holding that kept itself would be a cycle."""
        return Holding(self.plan, self.shapes, self.service, self.service.attention_pool)

    @staticmethod
    def collapsed(held: Bytes) -> Bytes:
        """Width 1 where the ranks of every stage are alike."""
        if held.shape[1] == 1 or not bool((held == held[:, :1]).all()):
            return held
        return held[:, :1]


def _counted(kinds: tuple[LayerKind, ...]) -> Counter[LayerKind]:
    """How many there are of each, counted run by run: a kind is quick to compare and slow to hash."""
    counts = Counter[LayerKind]()
    for kind, run in groupby(kinds):
        counts[kind] += len(tuple(run))
    return counts
