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
from dagc.cost.admission import admitted, with_memory
from dagc.driver.check import check
from dagc.driver.outcome import Checked
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

MEASURED_APART = {("b200-sxm", "gb200-nvl72"): 1.01}
"""By how much a step of the second may be longer, as its own measurements say: collectives of NCCL on two to four GPUs
start 0.7 us later on GB200 than on B200 (ai-dynamo/aiconfigurator @ 095f58a5), which small steps with tokens gathered
for experts show by up to 0.7 %.
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


def no_slower(better: tuple[float, float] | None, worse: tuple[float, float] | None, by: float = 1.0) -> bool:
    assume(better is not None and worse is not None)
    return all(one <= other * by * ROUNDING for one, other in zip(better or (), worse or (), strict=True))


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
    better, worse = steps(model + kept, f"{new} x {width}", *case), steps(model + kept, f"{old} x {width}", *case)
    assert no_slower(better, worse, by=MEASURED_APART.get(family, 1.0))


@given(models, kept_types, devices, engines, strategies, widths, prompts, st.sampled_from([1.1, 1.3, 2.0]))
@settings(max_examples=examples(10, 80))
def test_more_memory_lowers_no_throughput(
    model: str, kept: str, device: str, engine: str, strategy: str, width: int, prompt: int, times: float
) -> None:
    """Of a closed loop that memory limits: as many requests at once are as fast, and an engine with room admits more.

    A larger batch may begin another tile of every product, or leave room for one prompt less in a step. That gives back
    two hundredths at most. The prompt tokens of a step are stated: vLLM's default takes more of them on devices of more
    memory, so that steps are fewer and longer, which may cost some percent.
    """
    assume(width > 1 or "{half}" not in strategy)
    written = strategy.format(whole=width, half=width // 2)

    def loop(cluster: str, concurrency: int) -> Checked | None:
        work = f"concurrency {concurrency} chunk 8192 prompt {prompt} output {prompt // 2} to {prompt}"
        return priced(model + kept, cluster, engine, written, work)

    less = loop(f"{device} x {width}", 2000)
    assume(less is not None and fits(less))
    gigabytes = times * figure_of(device, "memory") / 1e9
    larger = f"{device} x {width} {{ device {{ memory {gigabytes:.0f} GB }} }}"
    most = running(less)
    assert throughput(loop(larger, most)) * ROUNDING >= throughput(loop(f"{device} x {width}", most))
    assert throughput(loop(larger, 2000)) >= 0.98 * throughput(less)


def running(checked: Checked | None) -> int:
    """Requests that run at once."""
    assert checked
    return admitted(checked.plan).facts.workload.batch


def fits(checked: Checked | None) -> bool:
    """Whether weights, and a request on each rank, fit: what does not is an error, and has prices all the same."""
    assert checked
    return all(pool.max_bytes <= pool.capacity_bytes for pool in with_memory(checked.plan)[1])


def throughput(checked: Checked | None) -> float:
    """Tokens a second."""
    assert checked and checked.priced.assessment.metrics
    return checked.priced.assessment.metrics.throughput.output_tokens_per_second
