"""One strategy with everything that it is checked and priced against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Work
from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.model import ModelSpec
from dagc.engines.engine import NO_ENGINE, Engine, Runtime
from dagc.plan.deployment import Deployment, Pool
from dagc.plan.layout import Ranks
from dagc.plan.rules import RuleLevels
from dagc.plan.workload import Claim, Requirement, Workload


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
