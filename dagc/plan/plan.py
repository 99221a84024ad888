"""One strategy with everything that it is checked and priced against, and what follows from both.

Replicas of a service that behave alike are one class, of which one is computed for all. A class is identified by its
sequences and its slowed ranks; that replicas may lie differently on nodes is not looked at.

`LIMITS` is the whole list of limits that advice is given beyond. A rule asks for its own by name,
`plan.facts.rules.limit("bubble")`; the block `rules` of a plan replaces the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Work
from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.model import ModelSpec
from dagc.diag.levels import Levels
from dagc.engines.runtime import NO_ENGINE, ExpertExchange, Runtime
from dagc.plan.deployment import Deployment, Phase, Pool, Service
from dagc.plan.layout import Ranks
from dagc.plan.splits import replica_sequences
from dagc.plan.workload import Claim, Requirement, Workload
from dagc.source import Span
from dagc.units import Dimension

if TYPE_CHECKING:
    from dagc.engines.engine import Engine


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of advice: the word that sets it, the default in SI units (a share in 0 to 1), and what it bounds."""

    name: str
    default: float
    dimension: Dimension
    meaning: str


LIMITS: Mapping[str, Limit] = MappingProxyType({
    limit.name: limit
    for limit in (
        Limit("memory", 0.9, Dimension.SHARE, "share of a device's memory that may be filled"),
        Limit("bubble", 0.2, Dimension.SHARE, "share of a phase that a stage may idle"),
        Limit("unused_memory", 0.1, Dimension.SHARE, "share of a device's memory that the fullest GPU fills at least"),
        Limit("load", 0.5, Dimension.SHARE, "load at which a required time should hold, with the wait that it brings"),
        Limit("stage_layers", 4, Dimension.COUNT, "layers that a stage has at least"),
        Limit("expert_columns", 256, Dimension.COUNT, "columns of an expert that a GPU holds at least"),
        Limit("expert_tokens", 1, Dimension.COUNT, "tokens that a decode step brings to an expert at least"),
    )
})  # fmt: skip
"""Every limit, by name."""


@dataclass(frozen=True, slots=True)
class RuleLevels:
    """Levels of advice, limits that were written in SI units, and where they were."""

    levels: Levels = field(default_factory=Levels)
    written: Mapping[str, float] = field(default_factory=dict[str, float])
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])

    def limit(self, name: str) -> float:
        """A limit of the table, as written or by default."""
        return self.written.get(name, LIMITS[name].default)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan file states beside its strategies, defaults filled in.

    `defaulted` names the blocks (`model`, `cluster`, `workload`) that were not written. `devices` are those that
    pools name by `[device …]`, by name. `engine` is the one whose rules hold, if any. `rules` are the levels of advice
    and the limits that it is given beyond.
    `unknown` names the blocks that were written wrongly: nothing is known of them, they count as defaulted, and a plan
    is not priced. `named` are names that were written shorter than their presets', each with the preset's.
    """

    model: ModelSpec
    cluster: ClusterSpec
    workload: Workload
    requirements: tuple[Requirement, ...]
    claims: tuple[tuple[str, tuple[Claim, ...]], ...]
    devices: tuple[tuple[str, DeviceSpec], ...]
    defaulted: tuple[str, ...]
    engine: Engine | None = None
    rules: RuleLevels = field(default_factory=RuleLevels)
    unknown: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()

    @property
    def runtime(self) -> Runtime:
        """How the engine runs the plan, or what is assumed without one."""
        runtime = self.engine.runtime if self.engine else NO_ENGINE
        factor = self.cluster.device.factor(Work.HOST)
        return runtime if factor == 1 else replace(runtime, host_seconds=runtime.host_seconds * factor)

    def claims_of(self, strategy: str) -> tuple[Claim, ...]:
        """Claims about one strategy, in written order."""
        return tuple(claim for name, claims in self.claims if name == strategy for claim in claims)


@dataclass(frozen=True, slots=True)
class Plan:
    """One strategy of a plan file, sized and placed."""

    deployment: Deployment
    facts: Facts

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.deployment.name

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Claims about this strategy."""
        return self.facts.claims_of(self.name)

    def slowdown(self, ranks: Ranks) -> npt.NDArray[np.float64]:
        """How many times as long as stated a computation takes on each of a team's ranks, shape (1,) or (width,)."""
        if not self.facts.cluster.slowed:
            return np.ones(1)
        factors = self.slowdowns(ranks)
        return factors[:1] if bool((factors == factors[0]).all()) else factors

    def slowdowns(self, ranks: Ranks) -> npt.NDArray[np.float64]:
        """The same for global ranks in any shape, in that shape."""
        factors = np.ones(ranks.shape)
        for rank, share in self.facts.cluster.slowed:
            factors[ranks == rank] = 1 + share
        return factors

    def device_of(self, pool: Pool) -> DeviceSpec:
        """The device of a pool: its own, or the cluster's."""
        if pool.device is None:
            return self.facts.cluster.device
        return dict(self.facts.devices)[pool.device]


def has_low_latency(plan: Plan, service: Service) -> bool:
    """Whether steps of a service without prompts dispatch by kernels of low latency."""
    return plan.facts.runtime.has_low_latency(is_both=service.phase is Phase.BOTH)


def gathers_tokens(plan: Plan, service: Service) -> bool:
    """Whether tokens are gathered rather than dispatched; two halves that hide each other's need a dispatch."""
    experts, layout, options = plan.facts.model.experts, service.experts_pool.experts, service.options
    if experts is None or layout is None or options.overlap > 1 or len(service.pools) > 1:
        return False
    ranks, domain = layout.ep * layout.tp, plan.facts.cluster.gpus_per_node
    is_both = service.phase is Phase.BOTH
    found = plan.facts.runtime.exchange(ranks, domain, options.exchange, is_both=is_both)
    return found is ExpertExchange.GATHER


def sums_results(plan: Plan, service: Service) -> bool:
    """Whether the engine sends no tokens: all ranks of an expert group hold the same ones, and sum what each adds."""
    attention, experts = service.attention_pool.attention, service.experts_pool.experts
    if attention is None or experts is None or len(service.pools) > 1 or service.options.overlap > 1:
        return False
    return plan.facts.runtime.sums_experts and attention.tp * attention.cp == experts.ep * experts.tp


def missing_shapes(plan: Plan) -> tuple[str, ...]:
    """Fields of the model without which there is no memory, no graph and no time."""
    return tuple(f"model {name}" for name in plan.facts.model.missing())


def missing_rates(plan: Plan) -> tuple[str, ...]:
    """Fields of the cluster without which there is no time.

    A link is needed where GPUs share a node, a network where they do not fit into one.
    """
    cluster, deployment = plan.facts.cluster, plan.deployment
    devices = [plan.device_of(pool) for service in deployment.services for pool in service.pools]
    activation = plan.facts.model.activation_dtype
    lacking = {
        "device bandwidth": any(not device.bandwidth_bytes_per_second for device in devices),
        "device compute": any(not device.flops.get(activation) for device in devices),
        "cluster link": not cluster.link_bytes_per_second and deployment.gpus > 1 and cluster.gpus_per_node > 1,
        "cluster network": not cluster.network_bytes_per_second and deployment.gpus > cluster.gpus_per_node,
    }
    return tuple(name for name, missing in lacking.items() if missing)


def requests_at_once(plan: Plan) -> int | None:
    """Requests that run at once in an admitted plan whose caches hold fewer than are in flight; else None."""
    asked, running = plan.facts.workload.concurrency, plan.facts.workload.batch
    is_limited = asked is not None and running < asked and not plan.facts.workload.is_open
    return running if is_limited else None


def entering(plan: Plan) -> Plan:
    """The plan whose batch is what is prefilled at once: all of a static batch, else one prompt on each rank."""
    return with_prompts(plan, 1)


def prefills_alone(plan: Plan, service: Service) -> bool:
    """Whether requests come and go on GPUs that prefill alone, attention and experts on the same."""
    is_alone = service.phase is Phase.PREFILL and len(service.pools) == 1
    return is_alone and plan.facts.workload.concurrency is not None


def fills_pipeline(plan: Plan, service: Service) -> bool:
    """Whether steps of prompts follow each other through the stages of a service.

    They do where requests come and go on GPUs that prefill alone: a step is one micro-batch. Attention and experts on
    GPUs of their own take turns on the micro-batches of a step instead.
    """
    return prefills_alone(plan, service) and service.stages > 1


def with_prompts(plan: Plan, each: int) -> Plan:
    """The plan whose batch is so many prompts on each rank, or all requests in flight; all of a static batch."""
    workload = plan.facts.workload
    if workload.concurrency is None:
        return plan
    caches = plan.deployment.cache_count(plan.deployment.services[0])
    held = replace(workload, batch=min(each * caches, workload.concurrency))
    return replace(plan, facts=replace(plan.facts, workload=held))


@dataclass(frozen=True, slots=True)
class ReplicaClass:
    """Replicas of a service that hold as many sequences, on ranks that are slowed in the same way."""

    sequences: int
    replicas: tuple[int, ...]


def replica_classes(plan: Plan, service: Service) -> tuple[ReplicaClass, ...]:
    """The classes of a service's replicas, in the order of their first; a replica without sequences is in none.

    Where the batch leaves every replica without, the first one counts, with one sequence. The first has most and the
    last has least, so that where these are alike all are, as long as no rank is slowed.
    """
    deployment = plan.deployment
    held = np.array(replica_sequences(deployment, service, plan.facts.workload.batch), dtype=np.int64)
    held[0] = max(1, held[0])
    if not plan.facts.cluster.slowed and held[0] == held[-1]:
        return (ReplicaClass(int(held[0]), tuple(range(held.size))),)
    traits = held[:, None]
    if plan.facts.cluster.slowed:
        traits = np.column_stack([held, plan.slowdowns(deployment.all_ranks(service))])
    rows = np.ascontiguousarray(traits).view(np.dtype((np.void, traits.itemsize * traits.shape[1])))[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    members = (np.flatnonzero(which == which[i]) for i in np.sort(first))
    found = (ReplicaClass(int(held[same[0]]), tuple(int(i) for i in same)) for same in members)
    return tuple(one for one in found if one.sequences)
