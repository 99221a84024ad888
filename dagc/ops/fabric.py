"""Which formula with which coefficients an exchange has on a cluster.

A regime of measurements on the device is taken where there is one, with what the plan states itself in its place: a
stated efficiency instead of the fitted share, a stated latency instead of the fitted step. Without measurements the
coefficients follow from the cluster's own figures: its efficiencies as shares, its latencies as steps, no ramp, no
NVLS, and no limit of streaming multiprocessors; that is the α-β model (Hockney 1994).

The all-reduce inside a node is the engine's own, where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from dagc.catalog.calibration import Calibration, Regime, Work, load_exchanges
from dagc.catalog.device import Backend, ClusterSpec
from dagc.ops.network import Coefficients, Wires

LAUNCHES_APART = 3.0
"""How far apart the members of a group arrive whose hosts launch one by one, in times between two launches.

GPT-20B of FasterTransformer (NVIDIA/FasterTransformer @ df4a7534 docs/gpt_guide.md, A100, no CUDA graphs) takes on one
GPU what its kernels take. On 2, 4 and 8 each all-reduce of a decode step takes 28, 28 and 35 us more than NCCL's in a
loop of its own, at any batch. With launches 8 us apart, three of them leave a median error of 4 to 6 % there."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Coefficients of one exchange; the regime they come from, None where they follow from stated figures."""

    values: Coefficients
    regime: Regime | None
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Fabric:
    """A cluster's links as the formulas take them.

    `all_reduce` names the engine's own all-reduce of small messages inside a node (a regime `all_reduce/NAME`), None
    where that is NCCL's. Coefficients are chosen once for each name and kept.
    """

    cluster: ClusterSpec
    all_reduce: str | None = "custom"
    _chosen: dict[str, Chosen] = field(default_factory=dict[str, Chosen], init=False, repr=False)

    @property
    def wires(self) -> Wires:
        """Stated rates. An unknown one limits nothing; `plan.missing` names it beforehand."""
        return Wires(self.cluster.link_bytes_per_second or inf, self.cluster.network_bytes_per_second or inf)

    @property
    def arrival_seconds(self) -> float:
        """How long a member waits for the others where each is launched by its own host; 0 in CUDA graphs."""
        return LAUNCHES_APART * self.cluster.device.launch_seconds

    @property
    def factor(self) -> float:
        """How many times as long as formulas say exchanges take in serving runs."""
        return self.cluster.device.factor(Work.COMMUNICATION)

    @property
    def custom(self) -> str | None:
        """The regime of the all-reduce inside a node that is not NCCL's; None where there is none."""
        if self.cluster.collectives is Backend.NCCL or self.all_reduce is None:
            return None
        return f"all_reduce/{self.all_reduce}"

    def chosen(self, name: str) -> Chosen:
        """Coefficients of a regime, measured or stated."""
        if name not in self._chosen:
            self._chosen[name] = self._choice(name)
        return self._chosen[name]

    def _choice(self, name: str) -> Chosen:
        regime = next((found for given in self._measured() if (found := given.regime(name))), None)
        if regime is None:
            return Chosen(self._from_datasheet(name), None, name)
        return Chosen({**regime.coefficients, **self._written(regime)}, regime, name)

    def _measured(self) -> Iterator[Calibration]:
        """The device's own calibration may hold collectives, which go before those of the preset."""
        if self.cluster.device.calibration:
            yield self.cluster.device.calibration
        if self.cluster.exchanges:
            yield load_exchanges(self.cluster.exchanges)

    def _from_datasheet(self, name: str) -> Mapping[str, float]:
        cluster = self.cluster
        inside, across = cluster.link_latency_seconds, cluster.network_latency_seconds
        shares = {"share": cluster.link_efficiency, "network_share": cluster.network_efficiency}
        kind, _, backend = name.partition("/")
        if kind == "all_reduce" and backend != "nccl":
            return {**shares, "share_two": cluster.link_efficiency} | {
                "launch": inside,
                "launch_two": 2 * inside,
                "step": 0.0,
            }
        first = inside if kind in ("all_to_all", "dispatch", "combine") else 0.0
        return {**shares, "launch": first, "step": 0.0 if first else inside, "hop": across, "ramp": 0.0}

    def _written(self, regime: Regime) -> Mapping[str, float]:
        """What the plan states itself, by the names of coefficients."""
        cluster = self.cluster
        written = {
            "link_efficiency": {"share": cluster.link_efficiency, "share_two": cluster.link_efficiency}
            | {"nvls_share": cluster.link_efficiency},
            "network_efficiency": {"network_share": cluster.network_efficiency},
            "link_latency": {"step": cluster.link_latency_seconds},
            "network_latency": {"hop": cluster.network_latency_seconds},
        }
        named = [names for field, names in written.items() if field in cluster.spans]
        return {name: value for names in named for name, value in names.items() if name in regime.coefficients}
