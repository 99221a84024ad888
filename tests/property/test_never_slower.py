"""At a fixed batch nothing gets slower by better hardware or narrower weights, over devices and models we know.

A faster memory, link or processor of the same device, and the next device of its family, whose every figure is at least
as good; weights in the next narrower type that the device computes in. Each kind of operator of one device is fitted by
itself, so that noise of a fit, or a table that has in one type what another lacks, would show here. Experts are left
out where weights get narrower: their kernels differ by type, and have tests of their own.
"""

from __future__ import annotations

from functools import cache

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagc.catalog.device import ClusterSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.presets import device_names, load_device, model_names
from dagc.driver.check import check
from dagc.results.metrics import Metrics
from dagc.source import Source
from tests.harness.effort import examples

FAMILIES = (
    ("h100-sxm", "h200-sxm"),
    ("b200-sxm", "b300-sxm"),
    ("b200-sxm", "gb200-nvl72"),
    ("gb200-nvl72", "gb300-nvl72"),
    ("mi300x", "mi325x"),
    ("mi325x", "mi355x"),
)
"""Devices of one maker's kernels, of which the second has at least every figure of the first."""

DENSE = ("qwen3-8b", "qwen3-32b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "llama-2-70b")
WIDTHS = ((Dtype.BF16, Dtype.FP8), (Dtype.FP8, Dtype.FP4), (Dtype.BF16, Dtype.FP4))
FIGURES = {
    "memory": "GB",
    "bandwidth": "GB/s",
    "link": "GB/s",
}
ROUNDING = 1 + 1e-9


def spec(device: str) -> ClusterSpec:
    found = load_device(device)
    assert found is not None
    return found


def figure_of(device: str, figure: str) -> float:
    one = spec(device)
    found = {
        "memory": one.device.memory_bytes,
        "bandwidth": one.device.bandwidth_bytes_per_second,
        "link": one.link_bytes_per_second,
    }[figure]
    return found or 0.0


devices = st.sampled_from([name for name in device_names() if spec(name).device.calibration])
engines = st.sampled_from(["", "vllm", "sglang", "trtllm"])
widths = st.sampled_from([1, 2, 4, 8])
batches = st.sampled_from([1, 4, 16, 64, 256])
prompts = st.sampled_from([128, 1024, 8192])


def measured(model: str, cluster: str, engine: str, strategy: str, work: str) -> Metrics | None:
    """The times of a plan; None where it is refused."""
    asked = f"engine {engine}\n" if engine else ""
    text = f"model {model}\ncluster {cluster}\n{asked}workload {{ {work} }}\nstrategy main = {strategy}\n"
    checked = check(Source("plan", text), sample=None).checked
    return checked[0].priced.assessment.metrics if checked else None


@cache
def steps(model: str, cluster: str, engine: str, tp: int, batch: int, prompt: int) -> tuple[float, float] | None:
    """Seconds of a decode step and of prefill."""
    found = measured(model, cluster, engine, f"tp {tp}", f"batch {batch} prompt {prompt} output 128")
    return (found.decode.seconds, found.prefill.seconds) if found and found.decode and found.prefill else None


def no_slower(better: tuple[float, float] | None, worse: tuple[float, float] | None) -> bool:
    assume(better is not None and worse is not None)
    return all(one <= other * ROUNDING for one, other in zip(better or (), worse or (), strict=True))


@given(
    st.sampled_from(DENSE), devices, engines, widths, batches, prompts, st.sampled_from(WIDTHS)
)  # fmt: skip
@settings(max_examples=examples(12, 1000))
def test_narrower_weights_make_no_step_slower(
    model: str, device: str, engine: str, tp: int, batch: int, prompt: int, types: tuple[Dtype, Dtype]
) -> None:
    wide, narrow = types
    assume(narrow in spec(device).device.flops)
    case = (f"{device} x {tp}", engine, tp, batch, prompt)
    assert no_slower(steps(f"{model} {{ dtype {narrow} }}", *case), steps(f"{model} {{ dtype {wide} }}", *case))


@given(st.sampled_from(model_names()), devices, engines, widths, batches, prompts, st.sampled_from(list(FIGURES)))
@settings(max_examples=examples(10, 600))
def test_a_faster_memory_or_link_makes_no_step_slower(
    model: str, device: str, engine: str, tp: int, batch: int, prompt: int, figure: str
) -> None:
    raised = f"{figure} {2 * figure_of(device, figure) / 1e9:.0f} {FIGURES[figure]}"
    inside = raised if figure == "link" else f"device {{ {raised} }}"
    case = (engine, tp, batch, prompt)
    better, worse = f"{device} x {tp} {{ {inside} }}", f"{device} x {tp}"
    assert no_slower(steps(model, better, *case), steps(model, worse, *case))


@given(st.sampled_from(DENSE), st.sampled_from(FAMILIES), engines, widths, batches, prompts)
@settings(max_examples=examples(10, 600))
def test_the_next_device_of_a_family_makes_no_step_slower(
    model: str, family: tuple[str, str], engine: str, tp: int, batch: int, prompt: int
) -> None:
    old, new = family
    case = (engine, tp, batch, prompt)
    assert no_slower(steps(model, f"{new} x {tp}", *case), steps(model, f"{old} x {tp}", *case))


@given(st.sampled_from(DENSE), devices, engines, widths, prompts)
@settings(max_examples=examples(10, 500))
def test_more_memory_lowers_no_throughput(model: str, device: str, engine: str, tp: int, prompt: int) -> None:
    """Of a closed loop that memory limits: more requests run, each of which may wait longer for a token.

    A batch that begins another tile of a product or another wave of tiles, or whose steps have room for one prompt
    less beside the decoded tokens, may give back a tenth.
    """

    def throughput(cluster: str) -> float | None:
        work = f"concurrency 2000 prompt {prompt} output {prompt // 2} to {prompt}"
        found = measured(model, cluster, engine, f"tp {tp}", work)
        return found.throughput.output_tokens_per_second if found else None

    less = throughput(f"{device} x {tp}")
    gigabytes = 1.3 * figure_of(device, "memory") / 1e9
    more = throughput(f"{device} x {tp} {{ device {{ memory {gigabytes:.0f} GB }} }}")
    assume(less is not None and more is not None)
    assert (more or 0) >= 0.9 * (less or 0)
