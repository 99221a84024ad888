"""Exchanges on preset devices against published measurements, each cited; some of these rows were in no fit.

Aic is ai-dynamo/aiconfigurator @ 095f58a5 (Apache-2.0), xx xxrjun/nccl-tests-cluster @ 455de4f8 (Apache-2.0), DeepEP
deepseek-ai/DeepEP @ dd758caf (MIT), its tables in docs/legacy.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.calibration import load_exchanges
from dagc.catalog.device import Backend
from dagc.catalog.presets import device_names, load_device
from dagc.engines.registry import get_engine
from dagc.graph.priced import NodeCost
from dagc.ops.communication import Leg, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.groups import Groups
from dagc.ops.token_exchange import Choices, ExchangeKernel
from dagc.source import Source
from tests.unit import operators
from tests.unit.operators import collective_cost, communication

LARGE, SMALL = 0.08, 0.15
"""Relative errors that count as right."""

FP8_ROW = 7168 + 7168 / 128 * 4
"""Bytes of DeepSeek-V3's hidden state in fp8, with a scale of four bytes for each 128."""

BF16_ROW = 7168 * 2.0


def fabric(device: str, backend: Backend = Backend.CUSTOM, all_reduce: str | None = "custom") -> Fabric:
    cluster = load_device(device)
    assert cluster is not None
    return Fabric(replace(cluster, collectives=backend), all_reduce)


def group(ranks: int, nodes: int = 1) -> Groups:
    return Groups(np.arange(ranks).reshape(1, -1), np.array([nodes]), np.array([ranks // nodes]))


def cost(pattern: Pattern, load: float, over: Groups, on: Fabric) -> NodeCost:
    by = Fabric(on.cluster, None) if pattern is Pattern.ALL_TO_ALL else on
    return collective_cost(communication(pattern, over, np.array([load])), by)


def microseconds(found: NodeCost) -> float:
    return float(found.duration[0]) / 1e6


@pytest.mark.parametrize(
    ("device", "pattern", "load", "ranks", "nodes", "measured", "within"),
    [
        # Aic, NCCL 2.29.2 on one node
        ("h100-sxm", Pattern.ALL_REDUCE, 64 * 2**20, 8, 1, 324.5, LARGE),
        ("h100-sxm", Pattern.ALL_REDUCE, 64 * 2**20, 4, 1, 330.4, LARGE),
        ("h100-sxm", Pattern.ALL_GATHER, 64 * 2**20, 8, 1, 208.1, LARGE),
        ("h100-sxm", Pattern.REDUCE_SCATTER, 64 * 2**20, 8, 1, 200.8, LARGE),
        ("h100-sxm", Pattern.ALL_TO_ALL, 64 * 2**20, 8, 1, 221.3, LARGE),
        ("b200-sxm", Pattern.ALL_GATHER, 256 * 2**20, 8, 1, 393.1, LARGE),
        ("a100-80gb-sxm", Pattern.ALL_REDUCE, 128 * 2**20, 8, 1, 1169.1, LARGE),
        ("h100-sxm", Pattern.ALL_REDUCE, 16384, 8, 1, 18.98, SMALL),
        ("h100-sxm", Pattern.ALL_GATHER, 65536, 8, 1, 13.14, SMALL),
        # xx, NCCL 2.29 on ten nodes, with 8 and with 4 GPUs of each
        ("h100-sxm", Pattern.ALL_REDUCE, 2**30, 80, 10, 6149.2, 0.12),
        ("h100-sxm", Pattern.ALL_GATHER, 17179868160, 80, 10, 52314.1, LARGE),
        ("h100-sxm", Pattern.ALL_REDUCE, 2**33, 40, 10, 85285.4, LARGE),
        ("h100-sxm", Pattern.ALL_TO_ALL, 2**33, 16, 2, 87698.3, LARGE),
    ],
)
def test_nccl(
    device: str, pattern: Pattern, load: float, ranks: int, nodes: int, measured: float, within: float
) -> None:
    found = cost(pattern, load, group(ranks, nodes), fabric(device, Backend.NCCL))
    assert microseconds(found) == pytest.approx(measured, rel=within)


@pytest.mark.parametrize(
    ("engine", "load", "measured"),
    [
        # Aic, 8 H100, in CUDA graphs: vLLM 0.19.0, SGLang 0.5.14, TensorRT-LLM 1.3.0rc20
        ("vllm", 16384, 5.2), ("vllm", 262144, 10.7), ("vllm", 2097152, 19.37),
        ("sglang", 16384, 3.7), ("sglang", 1048576, 13.5), ("trtllm", 16384, 3.6), ("trtllm", 262144, 10.2),
    ],
)  # fmt: skip
def test_engines_reduce_small_messages_themselves(engine: str, load: float, measured: float) -> None:
    found = cost(
        Pattern.ALL_REDUCE, load, group(8), fabric("h100-sxm", all_reduce=get_engine(engine).runtime.all_reduce)
    )
    assert microseconds(found) == pytest.approx(measured, rel=SMALL)


def exchange(
    device: str, leg: Leg, kernel: ExchangeKernel, ranks: int, tokens: int, groups: tuple[int, int] = (0, 0)
) -> float:
    """Microseconds with DeepSeek-V3's rows, eight choices a token."""
    row = FP8_ROW if leg is Leg.DISPATCH else BF16_ROW
    load = np.array([tokens * 8 * row])
    over = group(ranks, max(1, ranks // 8))
    found = operators.exchange(leg, over, load, load, kernel, Choices(8, *groups), row)
    return microseconds(collective_cost(found, fabric(device)))


@pytest.mark.parametrize(
    ("device", "ranks", "tokens", "dispatch", "combine"),
    [
        # DeepEP on H800, 128 tokens
        ("h800-sxm", 8, 128, 77, 114), ("h800-sxm", 32, 128, 155, 273), ("h800-sxm", 64, 128, 173, 314),
        # Aic on H100
        ("h100-sxm", 8, 128, 39.8, 72.4), ("h100-sxm", 16, 32, 40.1, 60.9), ("h100-sxm", 64, 128, 166.8, 304.7),
    ],
)  # fmt: skip
def test_low_latency_kernels(device: str, ranks: int, tokens: int, dispatch: float, combine: float) -> None:
    assert exchange(device, Leg.DISPATCH, ExchangeKernel.LOW_LATENCY, ranks, tokens) == pytest.approx(
        dispatch, rel=SMALL
    )
    assert exchange(device, Leg.COMBINE, ExchangeKernel.LOW_LATENCY, ranks, tokens) == pytest.approx(combine, rel=SMALL)


@pytest.mark.parametrize(("ranks", "nodes", "dispatch", "combine"), [(32, 4, 58, 57), (64, 4, 51, 50)])
def test_normal_kernels_with_routing_limited_to_four_groups(
    ranks: int, nodes: int, dispatch: float, combine: float
) -> None:
    """DeepEP on H800, 4,096 tokens: GB/s of the rows that go to nodes, its own node's among them.

    Eight choices in at most four nodes reach 4·(1 - (3/4)^8) = 3.5996 of them.
    """
    rows = 4096 * nodes * (1 - (1 - 1 / nodes) ** 8)
    for leg, row, rate in ((Leg.DISPATCH, FP8_ROW, dispatch), (Leg.COMBINE, BF16_ROW, combine)):
        found = exchange("h800-sxm", leg, ExchangeKernel.NORMAL, ranks, 4096, (8, 4))
        assert found == pytest.approx(rows * row / (rate * 1e9) * 1e6, rel=SMALL)


def test_normal_kernels_on_h100() -> None:
    """Aic, 4,096 tokens, 20 SMs, transmit and notify: EP8 491 and 973 us, EP32 1801 + 59 and 3528 + 106 us."""
    for ranks, dispatch, combine in ((8, 491, 973), (32, 1860, 3634)):
        assert exchange("h100-sxm", Leg.DISPATCH, ExchangeKernel.NORMAL, ranks, 4096) == pytest.approx(
            dispatch, rel=SMALL
        )
        assert exchange("h100-sxm", Leg.COMBINE, ExchangeKernel.NORMAL, ranks, 4096) == pytest.approx(
            combine, rel=SMALL
        )


def test_messages() -> None:
    """Vidur (microsoft/vidur @ 7d475133, MIT) on H100: 29 MB in 86 us inside a node, 12.6 MB in 365 us across."""
    on = fabric("h100-sxm")
    inside = Groups(np.array([[0]]), np.array([1]), np.array([1]))
    across = replace(inside, nodes=np.array([2]))
    assert microseconds(cost(Pattern.SEND, 28704768, inside, on)) == pytest.approx(86, rel=LARGE)
    assert microseconds(cost(Pattern.SEND, 12582912, across, on)) == pytest.approx(365, rel=LARGE)


def test_provenance() -> None:
    """A cost names its regime, its data and the fit's error; outside the data it says so, and what was derived."""
    fitted = cost(Pattern.ALL_GATHER, 2**20, group(8), fabric("h100-sxm"))
    assert fitted.source.startswith("all_gather/nccl, fitted to ai-dynamo/aiconfigurator @ 095f58a5")
    assert fitted.error is not None and 0 < fitted.error < SMALL
    assert "extrapolated" not in fitted.source
    beyond = cost(Pattern.ALL_GATHER, 2**20, group(1024, 128), fabric("h100-sxm"))
    assert beyond.source.endswith("extrapolated in ranks, nodes")
    assert "derived: shares and times of h100-sxm" in cost(Pattern.ALL_GATHER, 1e6, group(8), fabric("h20-sxm")).source


def test_stated_figures_take_the_place_of_fitted_ones() -> None:
    """A ring's step stated as 1 ms: seven of them."""
    on = fabric("h100-sxm")
    spans = {"link_latency": Source("plan", "x").span(0, 1)}
    stated = replace(on, cluster=replace(on.cluster, link_latency_seconds=1e-3, spans=spans))
    assert microseconds(cost(Pattern.ALL_GATHER, 512, group(8), stated)) == pytest.approx(7000, rel=0.01)


@pytest.mark.parametrize("name", [name for name in device_names() if name not in ("gpu-64gb", "h20")])
def test_every_real_device_has_every_regime(name: str) -> None:
    named = fabric(name).cluster.exchanges
    assert named is not None
    found = load_exchanges(named)
    assert found.device == named
    nccl = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send")
    own = ("custom", "sglang", "trtllm")
    exchanges = (f"{leg}/{kernel}" for leg in Leg for kernel in ExchangeKernel)
    names = {*(f"{one}/nccl" for one in nccl), *(f"all_reduce/{one}" for one in own), *exchanges}
    assert set(found.regimes) == names
    assert all(regime.source and 0 < regime.residuals.median < SMALL for regime in found.regimes.values())
