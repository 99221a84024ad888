"""Step times from the priced graph: each node of the tables is one step, lowered, priced and scheduled.

Between nodes of the number of sequences the base and the slope of a line are interpolated. The engine's time of a step
outside of its kernels, and drafts, are in every step as `dagc.results.serving` has them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from dagc.cost.price import CostCache, price
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.lower.batch import StepLoad
from dagc.lower.lower import lower_step
from dagc.lower.templates import LoweringCache
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.schedule.schedule import schedule
from dagc.schedule.template import TemplateCache
from dagc.simulate.kernel import Nodes, Numbers

CONTEXTS = (0, 256, 2048, 32768, 262144)
"""Tokens of a decode sequence's context at which steps are priced."""

SEQUENCES = (
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
)
PROMPTS = (0, 1, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768, 65536, 131072)
ATTENDED = (1, 32, 128, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144)
FULLNESS = (0.25, 0.5, 0.75, 1.0)

_SHIFT = 16


@dataclass(slots=True)
class GraphTimes:
    """Step times of one service of a plan. `context` is the decode context at which prompts are added."""

    plan: Plan
    service: Service
    context: int
    fullness: Nodes = field(init=False)
    prompts: Nodes = field(init=False)
    contexts: Nodes = field(init=False)
    sequences: Nodes = field(init=False)
    pieces: int = len(CONTEXTS) - 1
    priced: int = 0
    floor: int = 0
    _templates: LoweringCache = field(default_factory=LoweringCache)
    _costs: CostCache = field(default_factory=CostCache)
    _cache: TemplateCache = field(default_factory=TemplateCache)
    _held: list[PricedPhase] = field(default_factory=list[PricedPhase])
    _found: dict[tuple[int, StepLoad], int] = field(default_factory=dict[tuple[int, StepLoad], int])

    def __post_init__(self) -> None:
        """Nodes."""
        layout = self.service.attention_pool.attention
        ranks = layout.dp if layout else 1
        self.fullness = np.array([max(1 / ranks, one) for one in FULLNESS] if ranks > 1 else [1.0])
        self.prompts, self.contexts = np.array(PROMPTS, dtype=float), np.array(ATTENDED, dtype=float)
        self.sequences = np.array(SEQUENCES, dtype=float)

    def line(self, sequences: int, fullness: int, unit: int) -> Numbers:
        """As `StepTimes.line` says."""
        place = bisect_right(SEQUENCES, sequences) - 1
        low = SEQUENCES[place]
        high = low if low == sequences else SEQUENCES[place + 1]
        share = 0.0 if low == high else (sequences - low) / (high - low)
        at_low, at_high = self._decode_nodes(low, fullness), self._decode_nodes(high, fullness)
        times = np.round(at_low + (at_high - at_low) * share)
        begins = np.array(CONTEXTS, dtype=np.int64) * sequences * unit
        slopes = np.floor(np.diff(times) * (1 << _SHIFT) / np.diff(begins)).astype(np.int64)
        return np.column_stack([begins[:-1], times[:-1].astype(np.int64), np.maximum(slopes, 0)])

    def corner(self, sequences: int, prompt: int, context: int, fullness: int) -> int:
        """As `StepTimes.corner` says."""
        held, tokens, attended = SEQUENCES[sequences], PROMPTS[prompt], ATTENDED[context]
        share = float(self.fullness[fullness])
        if not tokens:
            return 0
        load = step_load(tokens, attended, float(self.context), share)
        alone = self.step(held, StepLoad(context=float(self.context), fullness=share)) if held else 0
        return max(self.floor if not held else 0, self.step(held, load) - alone)

    def step(self, sequences: int, load: StepLoad) -> int:
        """Picoseconds of one step with so many decode sequences on the fullest rank."""
        key = sequences, load
        if key not in self._found:
            self._found[key] = self._price(sequences, load)
        return self._found[key]

    def _decode_nodes(self, sequences: int, fullness: int) -> Nodes:
        share = float(self.fullness[fullness])
        loads = (StepLoad(context=float(context), fullness=share) for context in CONTEXTS)
        return np.array([self.step(sequences, load) for load in loads], dtype=float)

    def _price(self, sequences: int, load: StepLoad) -> int:
        phase = lower_step(self.plan, self.service, sequences, load, self._templates)
        priced = price(phase, self.plan, self._costs)
        # The cache knows costs by who they are, so they must stay.
        self._held.append(priced)
        timeline = schedule(priced, self._cache, is_kept=False)
        self.priced += 1
        workload = self.plan.facts.workload
        drafts = workload.drafted * timeline.interval // (self.plan.facts.model.layers or 1) if sequences else 0
        return timeline.interval + drafts + round(self.plan.facts.runtime.host_seconds * PICOSECONDS)


def step_load(tokens: int, attended: int, context: float, fullness: float) -> StepLoad:
    """Prompts of so many tokens together that attend to so many positions each on average.

    One prompt from the position that makes it so; where even its first tokens attend to more than that, as many shorter
    ones as it takes, from position 0.
    """
    start = attended - (tokens + 1) // 2
    if start >= 0:
        return StepLoad(context, 1, tokens, start, fullness)
    prompts = 1
    while tokens // prompts // 2 > attended and prompts < tokens:
        prompts *= 2
    return StepLoad(context, prompts, max(1, tokens // prompts), 0, fullness)
