"""A strategy as coordinates: degrees and options, from which its text follows.

A candidate is well-typed by construction, and each meaning has one candidate: degrees of 1 are left out, an experts'
pool beside a single attention stage has one form, and a stage is known by its degrees, not by
the way they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import lcm

from dagc.degrees import Degrees, Parallelism
from dagc.plan.deployment import Options, Phase

_ONE = Degrees()


class PoolForm(StrEnum):
    """Where the experts of a stage are: on its ranks, on ranks beside each stage, or on one pool beside all stages."""

    SHARED = "shared"
    BESIDE_STAGE = "beside each stage"
    BESIDE_REPLICA = "beside all stages"


@dataclass(frozen=True, slots=True)
class ServiceShape:
    """What a service is but for its options: replicas of stages, and how a stage is cut.

    `experts` has the ranks that hold all experts of a layer once; copies of these fill the stage. Of a dense model they
    are 1, or cut as attention. `layers` is a split of layers in place of the even one, `inner_dp` the part of
    attention's dp that is inside its cp.
    """

    replicas: int
    stages: int
    attention: Degrees = _ONE
    experts: Degrees = _ONE
    form: PoolForm = PoolForm.SHARED
    layers: tuple[int, ...] | None = None
    inner_dp: int = 1

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one replica."""
        match self.form:
            case PoolForm.SHARED:
                return self.stages * self.attention.width
            case PoolForm.BESIDE_STAGE:
                return self.stages * (self.attention.width + self.experts.width)
            case PoolForm.BESIDE_REPLICA:
                return self.stages * self.attention.width + self.experts.width

    @property
    def outer_dp(self) -> int:
        """The part of attention's dp that is outside its cp."""
        return self.attention.dp // self.inner_dp

    def parallelism(self, *, is_dense: bool) -> Parallelism | None:
        """The degrees as an engine counts them; None where the experts have ranks of their own, which no engine has."""
        if self.form is not PoolForm.SHARED:
            return None
        filled = replace(self.experts, dp=self.attention.width // self.experts.width)
        return Parallelism(self.attention, None if is_dense else filled, self.stages, self.replicas)

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.gpus_per_replica


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service: its shape and its options, `layers` among them."""

    shape: ServiceShape
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
    beside = ServicePlan(ServiceShape(1, 1), phase=other)
    return Candidate((service, beside) if other is Phase.DECODE else (beside, service), batch)


def alone(shape: ServiceShape, batch: int) -> Candidate:
    """The plain member of a shape, for both phases."""
    return Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch)


_Axes = Sequence[tuple[str, int, Sequence[str]]]
"""Name, degree and options of axes, outermost first."""


def spell(candidate: Candidate) -> str:
    """The strategy of a candidate, e.g. `pp 4 [micro 8] < ep 16 ; tp 2 >`."""
    if len(candidate.services) == 1:
        return _service(candidate.services[0]) or "tp 1"
    return " | ".join(f"{service.phase} < {_service(service) or 'tp 1'} >" for service in candidate.services)


def spell_placed(service: ServicePlan, begin: int) -> str:
    """One service of a pair by its text and the rank at which it begins, e.g. `decode < tp 8 > from rank 16`."""
    return f"{service.phase} < {_service(service) or 'tp 1'} > from rank {begin}"


def _service(service: ServicePlan) -> str:
    shape, options = service.shape, service.options
    pipeline = ("pp", shape.stages, _pipeline_options(options))
    if shape.form is PoolForm.BESIDE_REPLICA:
        attention = _chain([pipeline, *_attention(shape, options)]) or "tp 1"
        return _around(shape.replicas, f"{attention} | {_experts(shape, options)}")
    stage = _stage(shape, options)
    return _around(shape.replicas, _around_stage(pipeline, stage))


def _around(replicas: int, text: str) -> str:
    return _around_stage(("dp", replicas, ()), text)


def _around_stage(axis: tuple[str, int, Sequence[str]], text: str) -> str:
    if axis[1] == 1:
        return text
    head = _axis(*axis)
    return f"{head} < {text} >" if text else head


def _stage(shape: ServiceShape, options: Options) -> str:
    attention, experts = shape.attention, shape.experts
    if shape.form is PoolForm.BESIDE_STAGE:
        return f"{_chain(_attention(shape, options)) or 'tp 1'} | {_experts(shape, options)}"
    is_alone = experts.width == attention.width and attention.cp == 1
    if is_alone and experts.tp == attention.tp and experts.ep > 1:
        return _chain([("ep", experts.ep, _expert_options(options)), ("tp", experts.tp, _shard_options(options))])
    if experts.ep == 1 and experts.tp == attention.tp:
        text = _chain(_attention(shape, options))
        return f"attn < {text} >" if shape.outer_dp > 1 else text
    return f"{_experts(shape, options)} ; {_chain(_folded(shape, options))}"


def _folded(shape: ServiceShape, options: Options) -> _Axes:
    """The attention's branch beside the experts'; its outer dp is implied where both sizes give the stage's."""
    axes = _attention(shape, options)
    inside = shape.attention.width // shape.outer_dp
    if inside == 1 or lcm(inside, shape.experts.width) != shape.attention.width:
        return axes
    return axes[1:]


def _attention(shape: ServiceShape, options: Options) -> list[tuple[str, int, Sequence[str]]]:
    return [
        ("dp", shape.outer_dp, ()),
        ("cp", shape.attention.cp, ()),
        ("dp", shape.inner_dp, ()),
        ("tp", shape.attention.tp, _shard_options(options)),
    ]


def _experts(shape: ServiceShape, options: Options) -> str:
    experts = shape.experts
    inside = _chain([("tp", experts.tp, ())])
    if experts.ep == 1 and inside and shape.form is PoolForm.SHARED:
        return f"moe < {inside} >"
    head = _axis("ep", experts.ep, _expert_options(options))
    return f"{head} < {inside} >" if inside else head


def _chain(axes: _Axes) -> str:
    """Axes inside each other; those of degree 1 are left out."""
    text = ""
    for name, degree, options in reversed(axes):
        if degree > 1:
            head = _axis(name, degree, options)
            text = f"{head} < {text} >" if text else head
    return text


def _axis(name: str, degree: int, options: Sequence[str]) -> str:
    return f"{name} {degree} [{', '.join(options)}]" if options else f"{name} {degree}"


def _pipeline_options(options: Options) -> list[str]:
    layers = " ".join(map(str, options.layers or ()))
    return [*([f"micro {options.micro}"] if options.micro else []), *([f"layers {layers}"] if layers else [])]


def _expert_options(options: Options) -> list[str]:
    found = [f"redundant {options.redundant}"] if options.redundant else []
    found += [f"overlap {options.overlap}"] if options.overlap > 1 else []
    found += ["shared replicated"] if options.shared_replicated else []
    found += [f"exchange {options.exchange}"] if options.exchange else []
    return [*found, "beside"] if options.shared_beside else found


def _shard_options(options: Options) -> list[str]:
    found = ["sp"] if options.sequence_parallel else []
    return [*found, f"dcp {options.decode_context}"] if options.decode_context > 1 else found
