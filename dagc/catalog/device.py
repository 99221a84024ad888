"""A GPU, and a cluster of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dagc.catalog.calibration import Calibration, Work
from dagc.catalog.dtype import Dtype
from dagc.source import Span

RESERVE_BYTES = 2e9
"""CUDA context, NCCL channels, the engine's workspaces and fragmentation on each GPU: an assumption, about what
serving engines leave unaccounted beside their caches (vLLM's memory profile of Llama-3-8B on an H100 names 1.79 GiB of
it without and 3.58 GiB with tensor parallelism: vllm-project/vllm pull request 10511)."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One GPU, SI units. `flops` is the dense datasheet peak by type in FLOP/s.

    `compute_efficiency` and `memory_efficiency` are the one documented achieved share of each peak,
    and what is used where `calibration` says nothing. `source` names the datasheet or table of the figures.
    `processors` is the number of streaming multiprocessors (compute units). `launch_seconds` is how far apart the host
    launches operators one by one; 0 where it launches a step at once, as a CUDA graph.
    """

    name: str
    memory_bytes: float
    bandwidth_bytes_per_second: float | None
    flops: Mapping[Dtype, float]
    compute_efficiency: float
    memory_efficiency: float
    source: str = "given"
    processors: int | None = None
    calibration: Calibration | None = None
    launch_seconds: float = 0.0

    @property
    def content(self) -> object:
        """All that times depend on, as a key that holds the calibration: pools may have unlike devices of one name."""
        rates = self.bandwidth_bytes_per_second, tuple(self.flops.items()), self.compute_efficiency
        kernels = self.memory_efficiency, self.processors, self.calibration, self.launch_seconds
        return self.name, *rates, *kernels

    def factor(self, work: Work) -> float:
        """How many times as long as formulas say a kind of work takes on it."""
        return self.calibration.factor(work) if self.calibration else 1.0


class Backend(StrEnum):
    """Who carries collectives: NCCL alone, or the kernels of serving engines where they have some."""

    NCCL = "nccl"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """GPUs and how they are joined. Bandwidths are one direction a GPU, in bytes/s; latencies in seconds.

    `gpus` is None when the plan does not limit them. `gpus_per_node` is the size of the scale-up (NVLink) domain, of
    which one machine has `gpus_per_machine`; None: all. `link_*` is inside the domain, `network_*` across. `slowed`
    names single GPUs that compute more slowly than stated, as (global rank, share): a computation takes 1 + share times
    as long there. Ranks are in order, each once. `reserve_bytes` is what the engine takes of each GPU beside weights,
    cache, activations and buffers.

    `collectives` says who carries them: `custom`, as engines do, means one's own all-reduce of small messages inside
    a node and kernels like DeepEP's for dispatch and combine, NCCL for all else. `exchanges` names the preset whose
    measurements of collectives hold, None where nothing is measured.

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
    reserve_bytes: float = RESERVE_BYTES
    collectives: Backend = Backend.CUSTOM
    exchanges: str | None = None
    usd_per_gpu_second: float | None = None
    gpus_per_machine: int | None = None
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])

    @property
    def machine(self) -> int:
        """GPUs of one machine: where processes are started, a node is that."""
        return min(self.gpus_per_machine or self.gpus_per_node, self.gpus_per_node)
