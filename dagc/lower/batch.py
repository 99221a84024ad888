"""What one micro-batch puts on the ranks of a stage.

Turns the sequences of a micro-batch, by rank, into tokens and attended positions, in whole tokens with the remainder
on the first ranks.

- Prefill takes every prompt whole; with context parallelism a rank holds its part of each prompt, and causal work is
  taken as balanced between the parts.
- One decode step takes one token of every sequence. The context is the prompt and half of the output, which is its
  mean over the generation. The ranks of a context-parallel group hold the same tokens and each a part of the cache.
  With speculative decoding it takes the drafted tokens of every sequence too.
- A mixed step is a decode step in which prompt tokens ride along (piggybacked prefill), a batch of their own. A part of
  a prompt is taken as its share of the whole one, so that it attends to the mean of what the prompt's tokens do.

Of a prompt that the prefix cache holds in part, the rest is computed, and attends to all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dagc.catalog.attention import Reach
from dagc.degrees import AxisKind
from dagc.ops.load import Load, compress_uniform
from dagc.plan.deployment import Phase
from dagc.plan.layout import Layout
from dagc.plan.splits import split
from dagc.plan.workload import Workload


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One micro-batch on the attention ranks of a stage.

    `sequences` and `tokens` are by rank. `copies` ranks hold the same tokens, so `tokens / copies` summed over ranks
    are the distinct tokens of the micro-batch. `part` is the share of a sequence's positions that a rank keeps in
    its cache. `prompt`, `prefix` (what of it the prefix cache holds) and `context` are in tokens of one sequence.
    Decode verifies `drafted` tokens with that of each sequence. `piggybacked` are the prompt tokens of a mixed step,
    which `tokens` includes.
    """

    phase: Phase
    sequences: Load
    tokens: Load
    copies: int
    part: float
    prompt: int
    context: float
    prefix: int = 0
    drafted: int = 0
    piggybacked: Batch | None = None

    @property
    def decoded(self) -> Batch:
        """The micro-batch without its piggybacked prompt tokens."""
        if self.piggybacked is None:
            return self
        return replace(self, tokens=self.tokens - self.piggybacked.tokens, piggybacked=None)

    @property
    def sampled(self) -> Load:
        """Tokens of which the head computes the logits."""
        return self.sequences * (1 + self.drafted)

    @property
    def is_prefill(self) -> bool:
        """Whether prompts are computed, rather than one token a sequence."""
        return self.phase is Phase.PREFILL

    @property
    def has_prompts(self) -> bool:
        """Whether some of the tokens are of prompts."""
        return self.is_prefill or self.piggybacked is not None

    def distinct(self, width: int) -> float:
        """Distinct tokens of the micro-batch over the `width` ranks of the stage."""
        return float(np.broadcast_to(self.tokens, (width,)).sum()) / self.copies

    def pairs(self, reach: Reach) -> Load:
        """Pairs of a query and a position that it attends to, by rank: those of a causal prompt, or one token's."""
        if self.is_prefill:
            return self.sequences * (reach.pairs(self.prompt) - reach.pairs(self.prefix)) * self.part
        own = self.sequences * (self.cached(reach) * (1 + self.drafted))
        return own + self.piggybacked.pairs(reach) if self.piggybacked else own

    def positions(self, reach: Reach) -> Load:
        """Positions that a rank reads in the core: whole prompts, or its part of the contexts of its sequences."""
        if self.is_prefill:
            return self.sequences * self.prompt
        own = self.sequences * self.cached(reach)
        return own + self.piggybacked.positions(reach) if self.piggybacked else own

    def cached(self, reach: Reach) -> float:
        """Positions of one sequence that a rank reads from its cache, a mean."""
        return reach.attended(self.context) * self.part


@dataclass(frozen=True, slots=True)
class StepLoad:
    """What one step computes, on the attention rank that has most: the load of a simulated step.

    Decode sequences have `context` tokens on average. `tokens` prompt tokens are of prompts that have `fresh` each in
    the step, the last one perhaps fewer, from position `start` on; beside decode sequences they ride along. `fullness`
    is the tokens of all ranks over those of the fullest rank times ranks: the ranks but the first share what it leaves
    evenly.
    """

    context: float = 0.0
    tokens: int = 0
    fresh: int = 1
    start: int = 0
    fullness: float = 1.0

    @property
    def prompts(self) -> int:
        """Prompts of the step, the last one perhaps a part."""
        return -(-self.tokens // self.fresh)

    def spread(self, layout: Layout) -> Load:
        """Shares of the fullest rank's load, by rank."""
        if self.fullness == 1 or layout.dp == 1:
            return np.ones(1)
        rest = (self.fullness * layout.dp - 1) / (layout.dp - 1)
        return np.where(layout.coordinate(AxisKind.DP) == 0, 1.0, rest)


def step_batch(
    load: StepLoad, sequences: Load, phase: Phase, layout: Layout, drafted: int, decode_context: int
) -> Batch:
    """The micro-batch of a step that gives the ranks so many `sequences`: decoded ones, or prompts in prefill."""
    spread = sequences * load.spread(layout)
    if phase is Phase.PREFILL:
        spread = spread * (load.tokens / (load.prompts * load.fresh))
        tokens = spread * (load.fresh / layout.cp)
        return Batch(phase, spread, tokens, layout.tp, 1 / layout.cp, load.start + load.fresh, 0.0, load.start)
    part, copies = 1 / (layout.cp * decode_context), layout.tp * layout.cp
    tokens = spread * (1 + drafted)
    return Batch(phase, spread, tokens, copies, part, load.start + load.fresh, load.context, drafted=drafted)


def halves(batch_sequences: Load) -> tuple[Load, Load]:
    """Each rank's sequences in two, the larger half first; less than one sequence, a mean, is in the first."""
    first = np.minimum(np.ceil(batch_sequences / 2), batch_sequences)
    return first, batch_sequences - first


def mixed(batch: Batch, riding: Load, fresh: int, prefix: int) -> Batch:
    """A decode batch with so many prompt tokens on each rank beside it, of prompts of `fresh` behind a `prefix`."""
    piggybacked = replace(batch, phase=Phase.PREFILL, sequences=riding / fresh, tokens=riding, prefix=prefix, drafted=0)
    return replace(batch, tokens=batch.tokens + piggybacked.tokens, piggybacked=piggybacked)


def batch_of(sequences: Load, phase: Phase, layout: Layout, workload: Workload, decode_context: int) -> Batch:
    """The micro-batch that gives each rank so many `sequences`."""
    context = workload.prompt + workload.output / 2
    if phase is Phase.DECODE:
        part = 1 / (layout.cp * decode_context)
        tokens, copies = sequences * (1 + workload.drafted), layout.tp * layout.cp
        return Batch(phase, sequences, tokens, copies, part, workload.prompt, context, drafted=workload.drafted)
    fresh = workload.fresh
    tokens = sequences * (fresh / layout.cp)
    if fresh % layout.cp:
        parts = np.array(split(fresh, layout.cp), dtype=np.float64)
        tokens = compress_uniform(sequences * parts[layout.coordinate(AxisKind.CP)])
    return Batch(phase, sequences, tokens, layout.tp, 1 / layout.cp, workload.prompt, context, workload.prefix)
