"""The preset files: names without reading, completeness, and an origin for every figure."""

from __future__ import annotations

import json

import pytest

from dagc.catalog import presets
from dagc.catalog.attention import AttentionKind
from dagc.catalog.dtype import Dtype


def test_names_are_listed_without_reading_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise AssertionError("a preset was read")

    monkeypatch.setattr(json, "loads", refuse)
    assert "mixtral-8x7b" in presets.model_names()
    assert "h100-sxm" in presets.device_names()


def test_the_named_presets_are_there() -> None:
    models = {"mixtral-8x7b", "deepseek-v3", "qwen3-235b-a22b", "gpt-oss-120b", "llama-3.1-70b"}
    devices = {"a100-80gb-sxm", "h100-sxm", "h800-sxm", "h200-sxm", "b200-sxm", "gb200-nvl72", "mi300x", "gpu-64gb"}
    assert models <= set(presets.model_names())
    assert devices <= set(presets.device_names())


@pytest.mark.parametrize("name", presets.model_names())
def test_a_model_is_whole_and_has_an_origin(name: str) -> None:
    spec = presets.load_model(name)
    assert spec is not None
    assert spec.name == name
    assert spec.missing() == ()
    assert "config.json of " in spec.source
    assert spec.attention is not None
    assert (spec.heads, spec.kv_heads) == (spec.attention.heads, spec.attention.kv_heads)
    assert spec.is_dense == (spec.expert_count == 0)


@pytest.mark.parametrize("name", presets.device_names())
def test_a_device_is_whole_and_has_origins(name: str) -> None:
    cluster = presets.load_device(name)
    assert cluster is not None
    assert cluster.gpus is None
    assert cluster.device.flops[Dtype.BF16] > 1e14
    shares = (cluster.device.compute_efficiency, cluster.device.memory_efficiency, cluster.link_efficiency)
    assert all(0.4 < share < 1 for share in (*shares, cluster.network_efficiency))
    origins = presets.device_sources(name)
    assert set(origins) == {"datasheet", "compute_efficiency", "memory_efficiency", "link", "network", "latency"}


def test_unknown_names_are_nothing() -> None:
    assert presets.load_model("mixtral") is None
    assert presets.load_model("mixtral-8x7") is None
    assert presets.load_model("../models/mixtral-8x7b") is None
    assert presets.load_device("h10") is None


def test_datasheet_figures() -> None:
    """NVIDIA H100 SXM: 80 GB at 3.35 TB/s, 989 TFLOP/s dense in bf16, twice that in fp8, NVLink 450 GB/s one way."""
    cluster = presets.load_device("h100-sxm")
    assert cluster is not None
    device = cluster.device
    assert (device.memory_bytes, device.bandwidth_bytes_per_second) == (80e9, 3.35e12)
    assert (device.flops[Dtype.BF16], device.flops[Dtype.FP8]) == (989e12, 1979e12)
    assert (cluster.link_bytes_per_second, cluster.network_bytes_per_second) == (450e9, 50e9)


def test_a100_has_no_fp8() -> None:
    cluster = presets.load_device("a100-80gb-sxm")
    assert cluster is not None
    assert Dtype.FP8 not in cluster.device.flops


@pytest.mark.parametrize("name", ["gb200-nvl72", "gb300-nvl72"])
def test_the_node_of_a_rack_is_its_nvlink_domain(name: str) -> None:
    cluster = presets.load_device(name)
    assert cluster is not None
    assert cluster.gpus_per_node == 72


def test_gb300_is_gb200_with_half_as_much_memory_and_fp4_again() -> None:
    """186 GB and 10 PFLOP/s of dense fp4 are 279 GB and 15 PFLOP/s; bandwidth and fp8 are the same."""
    old, new = presets.load_device("gb200-nvl72"), presets.load_device("gb300-nvl72")
    assert old is not None and new is not None
    assert new.device.memory_bytes == 1.5 * old.device.memory_bytes
    assert new.device.flops[Dtype.NVFP4] == 1.5 * old.device.flops[Dtype.NVFP4]
    assert new.device.bandwidth_bytes_per_second == old.device.bandwidth_bytes_per_second
    assert new.device.flops[Dtype.FP8] == old.device.flops[Dtype.FP8]


def test_mi355x_does_8192_operations_a_clock_in_each_unit() -> None:
    """256 compute units at 2.4 GHz: 5.033 PFLOP/s in fp8, half of it in bf16, twice in mxfp4; 7 links of 76.8 GB/s."""
    cluster = presets.load_device("mi355x")
    assert cluster is not None
    fp8 = 256 * 8192 * 2.4e9
    flops = cluster.device.flops
    assert (flops[Dtype.FP8], flops[Dtype.BF16], flops[Dtype.MXFP4]) == pytest.approx((fp8, fp8 / 2, 2 * fp8), rel=1e-4)
    assert cluster.link_bytes_per_second == 7 * 76.8e9


def test_mi325x_is_mi300x_with_more_memory() -> None:
    old, new = presets.load_device("mi300x"), presets.load_device("mi325x")
    assert old is not None and new is not None
    assert (new.device.memory_bytes, new.device.bandwidth_bytes_per_second) == (256e9, 6e12)
    assert new.device.processors == old.device.processors == 304
    assert new.device.flops[Dtype.FP8] == pytest.approx(old.device.flops[Dtype.FP8], rel=1e-3)


def test_another_name_is_the_same_device() -> None:
    assert presets.load_device("h20") == presets.load_device("h20-sxm")


def test_quantised_models() -> None:
    deepseek, oss = presets.load_model("deepseek-v3"), presets.load_model("gpt-oss-20b")
    assert deepseek is not None and oss is not None
    assert (deepseek.weight_dtype, deepseek.expert_dtype, deepseek.activation_dtype) == (
        Dtype.FP8,
        Dtype.FP8,
        Dtype.BF16,
    )
    assert (oss.weight_dtype, oss.expert_dtype) == (Dtype.BF16, Dtype.MXFP4)


def test_latent_attention_gets_the_shapes_that_follow() -> None:
    spec = presets.load_model("kimi-k2")
    assert spec is not None and spec.attention is not None
    assert spec.attention.kind is AttentionKind.MLA
    assert (spec.attention.kv_heads, spec.attention.head_dim) == (64, 128 + 64)
