"""An MoE layer while it is lowered: what its steps share, and how tokens come to the experts and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts
from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.graph import Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.routing import Routing
from dagc.lower.stage import Stage
from dagc.ops.load import Load, max_rank
from dagc.ops.token_exchange import ExchangeKernel
from dagc.plan.layout import Layout

QUANTISED = (Dtype.FP8, Dtype.FP4, Dtype.NVFP4)
"""Types of experts whose products take tokens in as few bits, so that engines send them so; the others only store, but
for mxfp4 where the device computes in it."""

SCALED = 128
"""Elements of a token that share a scale when it is sent in fp8."""


@dataclass(frozen=True, slots=True, eq=False)
class MoeLayer:
    """What all steps of one MoE layer share. `team` runs the experts."""

    builder: TemplateBuilder
    stage: Stage
    batch: Batch
    experts: Experts
    layout: Layout
    routing: Routing
    team: int

    @property
    def width(self) -> int:
        """Width of what is sent to an expert and comes back: hidden states, or the experts' latent."""
        return self.experts.width(self.stage.shapes.hidden)

    def vectors(self, tokens: Load, partial: AxisKind | None = None) -> Tensor:
        """What is sent to experts, or comes back, for so many tokens."""
        return self.stage.tensor({"t": max_rank(tokens), "m": self.width}, partial=partial)

    @property
    def is_quantised(self) -> bool:
        """Whether the experts' products take tokens in as few bits as their weights."""
        dtype = self.stage.matrix(1, 1, Part.EXPERTS).stored.dtype
        return dtype in QUANTISED or (dtype is Dtype.MXFP4 and self.stage.computes_mxfp4)

    @property
    def row(self) -> float:
        """Bytes of a token on its way to an expert: as the expert's product takes it."""
        if not self.is_quantised:
            return self.width * self.stage.activation.bytes
        return self.width * Dtype.FP8.bytes + ceil(self.width / SCALED) * Dtype.FP32.bytes

    @property
    def result(self) -> float:
        """Bytes of a result on its way back."""
        return self.width * self.stage.activation.bytes

    @property
    def gathers_before(self) -> bool:
        """Whether a rank holds fewer tokens than its experts' tp group needs."""
        return self.team == 0 and self.layout.tp > self.routing.copies

    @property
    def gathers_after(self) -> bool:
        """Whether a rank needs more tokens than it has the sums of."""
        handled = 1 if self.team or self.scatters else self.layout.tp
        return self.routing.copies > handled and not self.sums_experts

    @property
    def sums_experts(self) -> bool:
        """Whether tokens stay where they are and parts of their sums are reduced over the expert group."""
        whole = self.layout.ep * self.layout.tp == self.routing.copies
        return self.stage.sums_experts and self.team == 0 and self.layout.ep > 1 and whole

    @property
    def gathers_group(self) -> bool:
        """Whether each rank of the expert group gets all its tokens, and parts of their sums are reduced over it."""
        return self.stage.gathers_experts and self.team == 0 and self.layout.ep > 1 and not self.sums_experts

    @property
    def scatters(self) -> bool:
        """Whether a rank keeps a part of the tokens that it has sums of."""
        return self.gathers_before or self.gathers_group

    @property
    def exchanges(self) -> bool:
        """Whether tokens are sent to the ranks of their experts and back."""
        return self.layout.ep > 1 and not self.sums_experts and not self.gathers_group

    @property
    def kernel(self) -> ExchangeKernel:
        """The kernel of that exchange."""
        is_short = self.stage.has_low_latency and not self.batch.has_prompts
        return ExchangeKernel.LOW_LATENCY if is_short else ExchangeKernel.NORMAL

    @property
    def reduced(self) -> tuple[AxisKind, ...]:
        """Axes of the experts over which parts of sums are reduced."""
        return (AxisKind.EP, AxisKind.TP) if self.sums_experts or self.gathers_group else (AxisKind.TP,)

    @property
    def carried(self) -> Load:
        """Pairs of a token and an expert that are carried from the first products to the second."""
        without = self.sums_experts or self.gathers_group
        return self.routing.group * self.experts.top if without and self.stage.holds_pairs else self.routing.received

    @property
    def sums(self) -> Load:
        """Tokens of which a rank has the weighted sum after the combine."""
        if self.sums_experts:
            return self.routing.held
        if self.gathers_group:
            return self.routing.group
        return self.routing.held / self.routing.copies if self.team else self.routing.sent
