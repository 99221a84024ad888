"""The `cluster` block in all its forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagc.catalog.device import ClusterSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.presets import load_device
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.cluster import declare_cluster
from dagc.source import Source
from dagc.syntax.parser import parse_fragment

LAB = """lab {
    gpus 256    node 8
    device { memory 64 GB    bandwidth 1.8 TB/s    compute { bf16 400 TFLOP/s }    efficiency 60 % }
    link 450 GB/s    network 50 GB/s
}"""


def declare(text: str) -> tuple[ClusterSpec | None, tuple[Diagnostic, ...]]:
    block, problems = parse_fragment("cluster", Source("--cluster", text))
    assert block is not None, problems
    return declare_cluster(block)


def good(text: str) -> ClusterSpec:
    cluster, problems = declare(text)
    assert problems == ()
    assert cluster is not None
    return cluster


def bad(text: str) -> Diagnostic:
    cluster, (problem,) = declare(text)
    assert cluster is None
    return problem


def test_without_a_block_it_is_any_number_of_h100() -> None:
    assert declare_cluster(None) == (load_device("h100-sxm"), ())


def test_a_device_and_a_number() -> None:
    cluster = good("h100-sxm x 64")
    preset = load_device("h100-sxm")
    assert preset is not None
    assert (cluster.gpus, cluster.gpus_per_node, cluster.device) == (64, 8, preset.device)
    assert cluster.spans["gpus"].text == "64"


def test_a_device_alone_sets_no_limit() -> None:
    assert good("h20").gpus is None


def test_a_preset_with_fields_replaced() -> None:
    cluster = good("h100-sxm x 64 { network 25 GB/s\n device { efficiency 70 % } }")
    assert (cluster.network_bytes_per_second, cluster.link_bytes_per_second) == (25e9, 450e9)
    assert cluster.device.compute_efficiency == pytest.approx(0.7)
    assert cluster.device.memory_bytes == 80e9


def test_a_cluster_written_out() -> None:
    cluster = good(LAB)
    device = cluster.device
    assert (cluster.name, cluster.gpus, cluster.gpus_per_node) == ("lab", 256, 8)
    assert (cluster.link_bytes_per_second, cluster.network_bytes_per_second) == (450e9, 50e9)
    assert (device.memory_bytes, device.bandwidth_bytes_per_second) == (64e9, 1.8e12)
    assert (device.flops[Dtype.BF16], device.compute_efficiency) == (400e12, pytest.approx(0.6))
    assert Dtype.FP8 not in device.flops


def test_places_of_all_written_fields() -> None:
    spans = good(LAB).spans
    assert {"gpus", "node", "device", "memory", "bandwidth", "compute", "bf16", "link", "network"} <= set(spans)
    assert spans["memory"].text == "memory 64 GB"


def test_a_cluster_of_a_named_device() -> None:
    cluster = good("lab { gpus 16 node 4\n device h20\n network 100 GB/s }")
    assert (cluster.name, cluster.gpus, cluster.gpus_per_node) == ("lab", 16, 4)
    assert cluster.device.name == "h20-sxm"
    assert (cluster.link_bytes_per_second, cluster.network_bytes_per_second) == (450e9, 100e9)


def test_a_named_device_with_another_memory() -> None:
    device = good("lab { device h20 { memory 141 GB } }").device
    assert (device.memory_bytes, device.flops[Dtype.BF16], device.source) == (141e9, 148e12, "given")


def test_compute_without_a_type_is_that_of_16_bits() -> None:
    flops = good("lab { device { memory 64 GB compute 400 TFLOP/s } }").device.flops
    assert flops == {Dtype.BF16: 400e12, Dtype.FP16: 400e12}


def test_what_nothing_states_is_unknown() -> None:
    cluster = good("lab { device { memory 64 GB } }")
    assert (cluster.link_bytes_per_second, cluster.network_bytes_per_second) == (None, None)
    assert cluster.device.bandwidth_bytes_per_second is None
    assert cluster.device.flops == {}
    assert cluster.gpus is None


def test_bits_are_eighths_of_bytes() -> None:
    assert good("h100-sxm { network 400 Gb/s }").network_bytes_per_second == 50e9


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("h10", "N110", "h10"),
        ("h100-sxmm x 64 { network 25 GB/s }", "N110", "h100-sxmm"),
        ("lab { device h21 }", "N110", "h21"),
        ("lab { gpus 64 }", "N118", "lab { gpus 64 }"),
        ("lab { device { bandwidth 2 TB/s } }", "N118", "device"),
        ("lab { device { memory 64 } }", "N113", "64"),
        ("h100-sxm x 0", "N114", "0"),
        ("h100-sxm x 1.5", "N114", "1.5"),
        ("h100-sxm 64", "N114", "64"),
        ("64", "N114", "64"),
        ("h100-sxm x 64 { gpus 32 }", "N114", "gpus 32"),
        ("h100-sxm { network 25 GB }", "N113", "GB"),
        ("h100-sxm { nvlink 25 GB/s }", "N111", "nvlink"),
        ("h100-sxm { device { efficiency 0 % } }", "N114", "0 %"),
        ("h100-sxm { node 0 }", "N114", "0"),
    ],
)
def test_what_is_wrong_is_said_once_and_at_its_place(text: str, code: str, place: str) -> None:
    problem = bad(text)
    assert (problem.code.code, problem.span and problem.span.text) == (code, place)


def test_the_nearest_device_is_offered() -> None:
    assert bad("h100-sxn").help[0] == "did you mean `h100-sxm`?"
    assert bad("h300").help[0].startswith("describe another one")


def test_an_unknown_unit_is_left_to_the_parser() -> None:
    block, (problem,) = parse_fragment("cluster", Source("--cluster", "lab { device { memory 64 GX } }"))
    assert problem.code.code == "N101"
    assert block is not None
    assert declare_cluster(block) == (None, ())


FITTED = """{"device": "lab", "regimes": {"elementwise": {"formula": "stream", "source": "made up",
    "coefficients": {"launch": 1e-6, "memory": %s}, "residuals": {"median": 0.1, "p90": 0.2, "bias": 0, "rows": 9}}}}"""


def with_calibration(text: str, directory: Path) -> tuple[ClusterSpec | None, tuple[Diagnostic, ...]]:
    (directory / "mine.json").write_text(text, "utf-8")
    block, _ = parse_fragment("cluster", Source("plan", 'h100-sxm { device { calibration "mine.json" } }'))
    return declare_cluster(block, directory)


def test_a_calibration_of_a_file_takes_the_place_of_the_presets(tmp_path: Path) -> None:
    cluster, problems = with_calibration(FITTED % "0.5", tmp_path)
    assert problems == ()
    assert cluster is not None
    assert cluster.device.calibration is not None
    assert cluster.device.calibration.regimes["elementwise"].coefficients["memory"] == 0.5


@pytest.mark.parametrize("text", ["", "[]", "{}", FITTED % '"fast"', FITTED % "0", FITTED % "-1", FITTED % "1e999"])
def test_a_file_that_is_no_calibration(text: str, tmp_path: Path) -> None:
    cluster, problems = with_calibration(text, tmp_path)
    assert cluster is None
    assert [problem.code.code for problem in problems] == ["N160"]


def test_shares_that_are_stated_hold_instead_of_a_calibration() -> None:
    cluster, _ = declare("h100-sxm { device { efficiency 70 % } }")
    preset = load_device("h100-sxm")
    assert cluster is not None
    assert preset is not None
    assert cluster.device.calibration is None
    assert preset.device.calibration is not None
