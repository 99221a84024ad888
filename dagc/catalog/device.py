"""A GPU, and a cluster of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagc.catalog.dtype import Dtype
from dagc.source import Span


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One GPU, SI units. `flops` is the dense datasheet peak by type in FLOP/s.

    `compute_efficiency` and `memory_efficiency` are the one documented achieved share of each peak.
    `source` names the datasheet or table of the figures.
    """

    name: str
    memory_bytes: float
    bandwidth_bytes_per_second: float | None
    flops: Mapping[Dtype, float]
    compute_efficiency: float
    memory_efficiency: float
    source: str = "given"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """GPUs and how they are joined. Bandwidths are one direction a GPU, in bytes/s; latencies in seconds.

    `gpus` is None when the plan does not limit them. `gpus_per_node` is the size of the scale-up (NVLink) domain.
    `link_*` is inside it, `network_*` across. `slowed` names single GPUs that compute more slowly than stated, as
    (global rank, share): a computation takes 1 + share times as long there. Ranks are in order, each once.
    `usd_per_gpu_second` is the price of one GPU, of whatever device; None where it is not stated.
    """

    name: str
    device: DeviceSpec
    gpus: int | None
    gpus_per_node: int
    link_bytes_per_second: float | None
    network_bytes_per_second: float | None
    link_latency_seconds: float
    network_latency_seconds: float
    link_efficiency: float
    network_efficiency: float
    slowed: tuple[tuple[int, float], ...] = ()
    usd_per_gpu_second: float | None = None
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])
