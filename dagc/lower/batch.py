"""What one micro-batch puts on the ranks of a stage.

Turns the sequences of a micro-batch, by rank, into tokens and attended positions, in whole tokens with the remainder
on the first ranks.

- Prefill takes every prompt whole; with context parallelism a rank holds its part of each prompt, and causal work is
  taken as balanced between the parts.
- One decode step takes one token of every sequence. The context is the prompt and half of the output, which is its
  mean over the generation. The ranks of a context-parallel group hold the same tokens and each a part of the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.catalog.attention import Reach
from dagc.graph.graph import Load
from dagc.lower.builder import evenly
from dagc.plan.deployment import Phase
from dagc.plan.layout import Layout
from dagc.plan.splits import split
from dagc.plan.workload import Workload
from dagc.syntax.tree import AxisKind


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One micro-batch on the attention ranks of a stage.

    `sequences` and `tokens` are by rank. `copies` ranks hold the same tokens, so `tokens / copies` summed over ranks
    are the distinct tokens of the micro-batch. `part` is the share of a sequence's positions that a rank keeps in
    its cache. `prompt` and `context` are in tokens of one sequence.
    """

    phase: Phase
    sequences: Load
    tokens: Load
    copies: int
    part: float
    prompt: int
    context: float

    @property
    def is_prefill(self) -> bool:
        """Whether prompts are computed, rather than one token a sequence."""
        return self.phase is Phase.PREFILL

    def distinct(self, width: int) -> float:
        """Distinct tokens of the micro-batch over the `width` ranks of the stage."""
        return float(np.broadcast_to(self.tokens, (width,)).sum()) / self.copies

    def pairs(self, reach: Reach) -> Load:
        """Pairs of a query and a position that it attends to, by rank: those of a causal prompt, or one token's."""
        if self.is_prefill:
            return self.sequences * reach.pairs(self.prompt) * self.part
        return self.sequences * self.cached(reach)

    def cached(self, reach: Reach) -> float:
        """Positions of one sequence that a rank reads from its cache, a mean."""
        return reach.attended(self.context) * self.part


def halves(batch_sequences: Load) -> tuple[Load, Load]:
    """Each rank's sequences in two, the larger half first."""
    first = np.ceil(batch_sequences / 2)
    return first, batch_sequences - first


def batch_of(sequences: Load, phase: Phase, layout: Layout, workload: Workload, decode_context: int) -> Batch:
    """The micro-batch that gives each rank so many `sequences`."""
    context = workload.prompt + workload.output / 2
    if phase is Phase.DECODE:
        part = 1 / (layout.cp * decode_context)
        return Batch(phase, sequences, sequences, layout.tp * layout.cp, part, workload.prompt, context)
    tokens = sequences * (workload.prompt / layout.cp)
    if workload.prompt % layout.cp:
        parts = np.array(split(workload.prompt, layout.cp), dtype=np.float64)
        tokens = evenly(sequences * parts[layout.coordinate(AxisKind.CP)])
    return Batch(phase, sequences, tokens, layout.tp, 1 / layout.cp, workload.prompt, context)
