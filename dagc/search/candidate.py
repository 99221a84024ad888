"""A strategy as coordinates: degrees and options, from which its text follows.

A candidate is well-typed by construction, and each meaning has one candidate: degrees of 1 are left out, an experts'
pool beside a single attention stage has one form, and what a stage's ranks are cut into is told by factors, not by
the way they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from dagc.degrees import Degrees, Parallelism
from dagc.plan.deployment import Options, Phase


class Form(StrEnum):
    """Where the experts of a stage are: on its ranks, on ranks beside each stage, or on one pool beside all stages."""

    SHARED = "shared"
    BESIDE_STAGE = "beside each stage"
    BESIDE_REPLICA = "beside all stages"


@dataclass(frozen=True, slots=True)
class Attention:
    """How the ranks of attention are cut, outermost first: dp `outer`, cp, dp `inner`, tp.

    `inner` is 1 where there is no cp for it to stand in.
    """

    outer: int = 1
    cp: int = 1
    inner: int = 1
    tp: int = 1

    @property
    def dp(self) -> int:
        """Parts of the tokens of a stage's batch."""
        return self.outer * self.inner

    @property
    def size(self) -> int:
        """Ranks of attention in a stage."""
        return self.outer * self.cp * self.inner * self.tp


@dataclass(frozen=True, slots=True)
class Experts:
    """How experts are cut: ep groups' ranks, tp inside each; copies of these fill the stage."""

    ep: int = 1
    tp: int = 1

    @property
    def size(self) -> int:
        """Ranks that hold all experts of a layer once."""
        return self.ep * self.tp


@dataclass(frozen=True, slots=True)
class Shape:
    """What a service is but for its options: replicas of stages, and how a stage is cut. A dense model has experts 1.

    `layers` is a split of layers in place of the even one.
    """

    replicas: int
    stages: int
    attention: Attention
    experts: Experts
    form: Form = Form.SHARED
    layers: tuple[int, ...] | None = None

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one replica."""
        match self.form:
            case Form.SHARED:
                return self.stages * self.attention.size
            case Form.BESIDE_STAGE:
                return self.stages * (self.attention.size + self.experts.size)
            case Form.BESIDE_REPLICA:
                return self.stages * self.attention.size + self.experts.size

    def sizes(self, *, is_dense: bool) -> Parallelism | None:
        """The degrees as an engine counts them; None where the experts have ranks of their own, which no engine has."""
        if self.form is not Form.SHARED:
            return None
        attention, experts = self.attention, self.experts
        copies = attention.size // experts.size
        return Parallelism(
            Degrees(tp=attention.tp, cp=attention.cp, dp=attention.dp),
            None if is_dense else Degrees(tp=experts.tp, ep=experts.ep, dp=copies),
            self.stages,
            self.replicas,
        )

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.gpus_per_replica


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service: its shape and its options, `layers` among them."""

    shape: Shape
    options: Options = field(default_factory=Options)
    phase: Phase = Phase.BOTH


@dataclass(frozen=True, slots=True)
class Candidate:
    """One strategy under one batch: a service for both phases, or one for prefill and one for decode."""

    services: tuple[ServicePlan, ...]
    batch: int

    @property
    def gpus(self) -> int:
        """GPUs of all services."""
        return sum(service.shape.gpus for service in self.services)


def smallest_with(service: ServicePlan, batch: int) -> Candidate:
    """The candidate of fewest GPUs with a service: the service alone, or one GPU of the other phase beside it."""
    other = {Phase.PREFILL: Phase.DECODE, Phase.DECODE: Phase.PREFILL}.get(service.phase)
    if other is None:
        return Candidate((service,), batch)
    beside = ServicePlan(Shape(1, 1, Attention(), Experts()), phase=other)
    return Candidate((service, beside) if other is Phase.DECODE else (beside, service), batch)
