"""At a fixed batch nothing gets slower by better hardware or narrower weights, over the devices and models we know.

A faster memory, link, network or processor of the same device, and the next device of its family, whose every figure
is at least as good; all weights, or those of experts, in a narrower type that the device computes in. Each kind of
operator of one device is fitted by itself, so that noise of a fit, a table that has in one type what another lacks,
casts, or the bytes that an exchange sends would show here. Plans name how tokens come to experts: which way an engine
takes by itself may depend on the device.
"""

from __future__ import annotations

from functools import cache

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagc.catalog.device import ClusterSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.presets import device_names, load_device, model_names
from dagc.cost.admission import admitted
from dagc.driver.check import check
from dagc.driver.outcome import Checked
from dagc.source import Source
from tests.harness.effort import examples

FAMILIES = (
    ("h100-sxm", "h200-sxm"),
    ("b200-sxm", "b300-sxm"),
    ("gb200-nvl72", "gb300-nvl72"),
    ("mi300x", "mi325x"),
    ("mi325x", "mi355x"),
)
"""Devices of one maker's kernels, of which the second has at least every figure of the first.

B200 and GB200 are no pair: products and experts in fp8 are fitted to runs of each, and prefill of GB200 takes up to 4 %
longer.
"""

WIDTHS = (
    (Dtype.BF16, Dtype.FP8),
    (Dtype.BF16, Dtype.INT8),
    (Dtype.BF16, Dtype.FP4),
    (Dtype.FP8, Dtype.FP4),
    (Dtype.FP8, Dtype.MXFP4),
    (Dtype.FP8, Dtype.NVFP4),
)
FIGURES = {
    "memory": "GB",
    "bandwidth": "GB/s",
    "link": "GB/s",
    "network": "GB/s",
}
STRATEGIES = (
    "tp {whole}",
    "ep {whole} [exchange gather]",
    "ep {whole} [exchange deepep]",
    "ep {whole} [exchange deepep] ; tp {whole}",
    "ep {whole} [exchange gather] ; tp 2",
    "dp 2 < tp {half} >",
    "pp 2 < ep {half} [exchange deepep] >",
    "ep {half} [exchange gather] < tp 2 > ; dp {whole}",
    "tp {half} | ep {half}",
    "prefill < tp {half} > | decode < ep {half} [exchange deepep] >",
)
"""One for each way of tokens to experts; those that a model or width does not admit are left out."""

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
        "network": one.network_bytes_per_second,
    }[figure]
    return found or 0.0


models = st.sampled_from(model_names())
kept_types = st.sampled_from(["", "", " { dtype fp8 }", " { dtype int8 }", " { dtype bf16 expert_dtype fp8 }"])
devices = st.sampled_from([name for name in device_names() if spec(name).device.calibration])
engines = st.sampled_from(["", "vllm", "sglang", "trtllm"])
widths = st.sampled_from([1, 2, 4, 8, 16])
strategies = st.sampled_from(STRATEGIES)
batches = st.sampled_from([1, 4, 16, 64, 256])
prompts = st.sampled_from([128, 1024, 8192])


@cache
def priced(model: str, cluster: str, engine: str, strategy: str, work: str) -> Checked | None:
    """A plan with its times; None where it is refused."""
    asked = f"engine {engine}\n" if engine else ""
    text = f"model {model}\ncluster {cluster}\n{asked}workload {{ {work} }}\nstrategy main = {strategy}\n"
    checked = check(Source("plan", text), sample=None).checked
    return checked[0] if checked and checked[0].priced.assessment.metrics else None


def steps(
    model: str, cluster: str, engine: str, strategy: str, width: int, batch: int, prompt: int
) -> tuple[float, float] | None:
    """Seconds of a decode step and of prefill."""
    assume(width > 1 or "{half}" not in strategy)
    written = strategy.format(whole=width, half=width // 2)
    found = priced(model, cluster, engine, written, f"batch {batch} prompt {prompt} output 128")
    metrics = found.priced.assessment.metrics if found else None
    return (metrics.decode.seconds, metrics.prefill.seconds) if metrics else None


def no_slower(better: tuple[float, float] | None, worse: tuple[float, float] | None) -> bool:
    assume(better is not None and worse is not None)
    return all(one <= other * ROUNDING for one, other in zip(better or (), worse or (), strict=True))


@given(models, devices, engines, strategies, widths, batches, prompts, st.sampled_from(WIDTHS), st.booleans())
@settings(max_examples=examples(12, 250))
def test_narrower_weights_make_no_step_slower(
    model: str,
    device: str,
    engine: str,
    strategy: str,
    width: int,
    batch: int,
    prompt: int,
    types: tuple[Dtype, Dtype],
    experts_alone: bool,
) -> None:
    wide, narrow = types
    assume(narrow in spec(device).device.flops)
    case = (f"{device} x {width}", engine, strategy, width, batch, prompt)
    stated = "dtype bf16 expert_dtype" if experts_alone else "dtype"
    assert no_slower(steps(f"{model} {{ {stated} {narrow} }}", *case), steps(f"{model} {{ {stated} {wide} }}", *case))


@given(models, kept_types, devices, engines, strategies, widths, batches, prompts, st.sampled_from(list(FIGURES)))
@settings(max_examples=examples(10, 150))
def test_a_faster_memory_or_link_makes_no_step_slower(
    model: str,
    kept: str,
    device: str,
    engine: str,
    strategy: str,
    width: int,
    batch: int,
    prompt: int,
    figure: str,
) -> None:
    raised = f"{figure} {2 * figure_of(device, figure) / 1e9:.0f} {FIGURES[figure]}"
    inside = raised if figure in ("link", "network") else f"device {{ {raised} }}"
    case = (engine, strategy, width, batch, prompt)
    better, worse = f"{device} x {width} {{ {inside} }}", f"{device} x {width}"
    assert no_slower(steps(model + kept, better, *case), steps(model + kept, worse, *case))


@given(models, kept_types, st.sampled_from(FAMILIES), engines, strategies, widths, batches, prompts)
@settings(max_examples=examples(10, 150))
def test_the_next_device_of_a_family_makes_no_step_slower(
    model: str, kept: str, family: tuple[str, str], engine: str, strategy: str, width: int, batch: int, prompt: int
) -> None:
    old, new = family
    case = (engine, strategy, width, batch, prompt)
    assert no_slower(steps(model + kept, f"{new} x {width}", *case), steps(model + kept, f"{old} x {width}", *case))


@given(models, kept_types, devices, engines, strategies, widths, prompts, st.sampled_from([1.1, 1.3, 2.0]))
@settings(max_examples=examples(10, 80))
def test_more_memory_lowers_no_throughput(
    model: str, kept: str, device: str, engine: str, strategy: str, width: int, prompt: int, times: float
) -> None:
    """Of a closed loop that memory limits: as many requests at once are as fast, and an engine with room admits more.

    A larger batch may begin another tile of every product, another wave of tiles, or leave room for one prompt less in
    a step. That gives back a twentieth at most; who limits the requests at once to what ran before loses nothing, but
    for a hundredth: vLLM takes more tokens in a step on devices of more memory.
    """
    assume(width > 1 or "{half}" not in strategy)
    written = strategy.format(whole=width, half=width // 2)

    def loop(cluster: str, concurrency: int) -> Checked | None:
        work = f"concurrency {concurrency} prompt {prompt} output {prompt // 2} to {prompt}"
        return priced(model + kept, cluster, engine, written, work)

    less = loop(f"{device} x {width}", 2000)
    assume(less is not None)
    gigabytes = times * figure_of(device, "memory") / 1e9
    larger = f"{device} x {width} {{ device {{ memory {gigabytes:.0f} GB }} }}"
    most = running(less)
    assert throughput(loop(larger, most)) >= 0.99 * throughput(loop(f"{device} x {width}", most))
    assert throughput(loop(larger, 2000)) >= 0.95 * throughput(less)


def running(checked: Checked | None) -> int:
    """Requests that run at once."""
    assert checked
    return admitted(checked.plan).facts.workload.batch


def throughput(checked: Checked | None) -> float:
    """Tokens a second."""
    assert checked and checked.priced.assessment.metrics
    return checked.priced.assessment.metrics.throughput.output_tokens_per_second
