"""`dagc trace-diff`: a planted slow-down is named, with kernel names of engines and with those of dagc's own traces.

The oracle is the plan's own graph with one operator, or one kind of work, made slower: nothing of the alignment is used
to make a trace.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.calibration import ServingFactors, Work
from dagc.cli.trace_diff import trace_diff as command
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.driver.outcome import Checked
from dagc.driver.trace_diff import trace_diff
from dagc.export.ranks import RankSelection
from dagc.export.trace.kineto import kineto_files
from dagc.export.trace.tracks import Traced
from dagc.graph.priced import PricedPhase
from dagc.plan.deployment import Phase
from dagc.profile.layers import layers_of
from dagc.profile.trace import KernelTrace, read_kernels
from dagc.results.trace_diff import TraceDiff
from dagc.source import Source

NAMES = {
    "gemm": "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNN",
    "router": "void vllm::moe::topkGatingSoftmax<8, 256, 4, 16, int>(float const*, bool const*, float*, int)",
    "grouped_gemm": "fused_moe_kernel",
    "attention_core": "void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4>, false>(flash::P)",
    "norm": "void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, c10::BFloat16*)",
    "head_norm": "void vllm::rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, c10::BFloat16 const*, long)",
    "rotary": "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*)",
    "activation": "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>, true>(int)",
    "kv_write": "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, 0>(__nv_bfloat16 const*)",
    "aggregate": "void at::native::moe_sum_kernel<c10::BFloat16, 2>(c10::BFloat16*, c10::BFloat16 const*, int)",
    "all_reduce": "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(vllm::RankData*, int)",
    "all_gather": "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "reduce_scatter": "ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "dispatch": "void deep_ep::internode_ll::dispatch<true, false, 7168>(void*, float*, int*, long*)",
    "combine": "void deep_ep::internode_ll::combine<7168, 9>(void*, void*, int*, void*)",
    "send": "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)",
    "receive": "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)",
    "embedding": "void at::native::embedding_kernel<c10::BFloat16>(c10::BFloat16*)",
    "sampling": "void at::native::argmax_sampling<float>(float*)",
}
"""Names of kernels of vLLM, DeepEP and NCCL, as profiles show them."""

PLANS = {
    name: f"model {model}\ncluster {cluster}\nworkload {{ {workload} output 64 }}\nstrategy main = {strategy}\n"
    for name, model, cluster, workload, strategy in (
        ("mixtral", "mixtral-8x7b", "h100-sxm x 8", "batch 64 prompt 512", "ep 8 ; tp 8"),
        ("deepseek", "deepseek-v3", "h200-sxm x 16", "batch 256 prompt 2048", "ep 16"),
        ("dense", "qwen3-32b", "h100-sxm x 4", "batch 32 prompt 1024", "tp 4"),
        ("alternating", "gpt-oss-120b", "h100-sxm x 2", "batch 64 prompt 4096", "tp 2"),
    )
}


def checked(text: str, directory: Path = Path()) -> Checked:
    outcome = check(Source("plan.moe", text), directory=directory, sample=None)
    assert outcome.checked, outcome.diagnostics
    return outcome.checked[0]


_KNOWN: dict[str, Checked] = {}


def known(name: str) -> Checked:
    if name not in _KNOWN:
        _KNOWN[name] = checked(PLANS[name])
    return _KNOWN[name]


def decode(plan: Checked) -> PricedPhase:
    timelines = plan.priced.timelines
    assert timelines is not None
    return next(one.priced for one in timelines if one.priced.graph.phase is Phase.DECODE)


def engine_trace(priced: PricedPhase, slower: Callable[[str], float], steps: int = 2, casts: bool = True) -> bytes:
    """Steps as an engine would show them: each operator its kernel, and time of the host between steps.

    With casts there is one before each product, times scatter by 5 %, and a copy comes now and then.
    """
    random = np.random.RandomState(len(priced.graph.templates))
    events: list[dict[str, Any]] = []
    now = 1_000.0
    for _ in range(steps):
        for _, _, _, segment in priced.graph.segments():
            template, costs = priced.graph.templates[segment.template], priced.costs[segment.template]
            for _ in range(segment.count):
                for node, cost in zip(template.nodes, costs, strict=True):
                    if node.fused_into is not None or not cost.longest:
                        continue
                    parts = [(NAMES[node.op.name], cost.longest / 1e6 * slower(node.key))]
                    if casts and node.op.name == "gemm":
                        parts.insert(0, ("void vllm::scaled_fp8_quant_kernel<c10::BFloat16>(float*)", 0.001))
                    if casts and random.rand() < 0.02:
                        parts.append(("Memcpy DtoD (Device -> Device)", 1.0))
                    for name, mean in parts:
                        micros = mean * (np.exp(random.normal(0, 0.05)) if casts else 1.0)
                        events.append(kernel(name, now, micros))
                        now += micros + 0.2
        events.append(kernel("Memcpy DtoH (Device -> Pinned)", now, 2.0))
        now += 400.0
    return json.dumps({"traceEvents": events}).encode()


def kernel(name: str, start: float, micros: float, stream: int = 7) -> dict[str, Any]:
    arguments = {"stream": stream, "device": 0}
    return {"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": micros, "pid": 0, "tid": 7, "args": arguments}


def compared(plan: Checked, content: bytes, within: tuple[str, ...] = ()) -> TraceDiff:
    kernels = read_kernels(content, "trace.json", within)
    assert isinstance(kernels, KernelTrace), kernels
    found = trace_diff(plan, Phase.DECODE, kernels, "trace.json")
    assert isinstance(found, TraceDiff), found
    return found


def layer_of(priced: PricedPhase) -> dict[str, float]:
    """Share of the last layer's time by key."""
    layer = [one.template for _, _, _, one in priced.graph.segments() if one.first_layer is not None][-1]
    nodes = zip(priced.graph.templates[layer].nodes, priced.costs[layer], strict=True)
    times = {node.key: cost.longest for node, cost in nodes if node.fused_into is None}
    return {key: time / sum(times.values()) for key, time in times.items()}


@pytest.mark.parametrize("name", PLANS)
def test_a_trace_of_the_plan_itself_has_no_difference(name: str) -> None:
    found = compared(known(name), engine_trace(decode(known(name)), lambda _: 1.0, casts=False))
    assert found.lone_operators == [] and found.lone_kernels == []
    assert found.measured_seconds == pytest.approx(found.predicted_seconds, rel=1e-6)
    assert max(abs(one.difference_seconds) for one in found.operators) < 1e-9


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(PLANS)), st.data(), st.sampled_from([1.6, 2.0, 3.0]))
def test_an_operator_that_is_slower_is_the_explanation(name: str, data: st.DataObject, times: float) -> None:
    """Any operator with 4 % of a layer or more; products of an engine are preceded by a cast of next to nothing."""
    plan = known(name)
    keys = sorted(key for key, share in layer_of(decode(plan)).items() if share > 0.04)
    slow = data.draw(st.sampled_from(keys))
    found = compared(plan, engine_trace(decode(plan), lambda key: times if key == slow else 1.0))
    first = found.operators[0]
    assert first.key.partition("#")[0] == slow
    assert first.measured_seconds == pytest.approx(times * first.predicted_seconds, rel=0.05)
    assert first.share > 2 * max((one.share for one in found.operators if one.key.partition("#")[0] != slow), default=0)


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("mixtral", Work.GEMM), ("mixtral", Work.ATTENTION), ("mixtral", Work.ELEMENTWISE),
        ("deepseek", Work.EXPERTS), ("deepseek", Work.COMMUNICATION),
    ],
)  # fmt: skip
def test_a_kind_of_work_that_takes_twice_as_long_explains_an_exported_trace(name: str, work: Work) -> None:
    """The trace is dagc's own, of the same plan on a device of which that work takes twice as long."""
    plan = known(name)
    facts = plan.plan.facts
    device = facts.cluster.device
    assert device.calibration is not None
    serving = ServingFactors({work: 2.0}, 1, 0.0, 0.0, "planted")
    slow_device = replace(device, calibration=replace(device.calibration, serving=serving))
    slow = replace(plan.plan, facts=replace(facts, cluster=replace(facts.cluster, device=slow_device)))
    from dagc.driver.strategies import price_plan

    priced = price_plan(slow, [], lambda _: None, sample=None)
    assert priced.graph is not None and priced.timelines is not None
    traced = Traced(slow, priced.graph, priced.timelines, priced.others)
    files = kineto_files(traced, RankSelection(((0, 0),)))
    found = compared(plan, b"".join(files["kineto/rank.0.json"]), ("decode*",))
    assert next(iter(found.work)) == work
    assert found.operators[0].work == work
    for one in found.operators:
        factor = 2.0 if one.work == work else 1.0
        assert one.measured_seconds == pytest.approx(factor * one.predicted_seconds, rel=2e-3, abs=2e-9)


def test_an_engine_may_run_products_in_another_order() -> None:
    """DeepSeek's train.json has both down products before the up products; of the graph q comes before kv."""
    plan = known("deepseek")
    priced = decode(plan)
    template = [one.template for _, _, _, one in priced.graph.segments() if one.first_layer is not None][-1]
    nodes = list(zip(priced.graph.templates[template].nodes, priced.costs[template], strict=True))
    order = [at for at, (node, cost) in enumerate(nodes) if node.fused_into is None and cost.longest]
    keys = [nodes[at][0].key for at in order]
    up, down = keys.index("attention.q_up"), keys.index("attention.kv_down")
    order[up], order[down] = order[down], order[up]
    events: list[dict[str, Any]] = []
    now = 0.0
    for _ in range(6):
        for at in order:
            events.append(kernel(NAMES[nodes[at][0].op.name], now, nodes[at][1].longest / 1e6))
            now += events[-1]["dur"] + 0.1
    found = compared(plan, json.dumps(events).encode())
    for one in found.operators:
        assert abs(one.difference_seconds) < 0.2 * one.predicted_seconds, one


def test_parts_of_an_operator_count_with_it() -> None:
    """A cast of 5 us before each product and a second half of attention of 7 us belong to product and attention."""
    plan = known("dense")
    content = json.loads(engine_trace(decode(plan), lambda _: 1.0, casts=False))
    events: list[dict[str, Any]] = []
    for one in content["traceEvents"]:
        if one["name"] == NAMES["gemm"]:
            events.append(kernel("void vllm::scaled_fp8_quant_kernel<c10::BFloat16>(float*)", one["ts"] - 0.1, 5.0))
        events.append(one)
        if one["name"] == NAMES["attention_core"]:
            events.append(kernel("void flash::flash_fwd_splitkv_combine_kernel<>()", one["ts"] + one["dur"], 7.0))
    found = compared(plan, json.dumps(events).encode())
    assert found.lone_kernels == [] and found.lone_operators == []
    extra = {one.key: round(one.difference_seconds * 1e6, 3) for one in found.operators}
    products = {one.key for one in found.operators if one.work == "gemm"}
    assert extra == {key: 5.0 if key in products else 7.0 if key == "attention.core" else 0.0 for key in extra}


def test_one_kernel_for_both_products_of_experts_is_one_line() -> None:
    """TensorRT-LLM's fused experts: two products and the activation are one kernel, as long as all of them."""
    plan = known("mixtral")
    priced = decode(plan)
    whole = sum(share for key, share in layer_of(priced).items() if key.startswith("moe.experts"))
    content = json.loads(engine_trace(priced, lambda _: 1.0, casts=False))
    events = content["traceEvents"]
    inside = [one for one in events if one["name"] in (NAMES["grouped_gemm"], NAMES["activation"])]
    for up, act, down in zip(inside[::3], inside[1::3], inside[2::3], strict=True):
        up["dur"] += act["dur"] + down["dur"]
    left = [one for one in events if one not in inside or one["name"] == NAMES["grouped_gemm"]]
    kept = [
        one
        for at, one in enumerate(left)
        if one["name"] != NAMES["grouped_gemm"] or left[at - 1]["name"] != one["name"]
    ]
    found = compared(plan, json.dumps(kept).encode())
    (experts,) = [one for one in found.operators if "experts" in one.key]
    assert experts.key == "moe.experts.up + moe.experts.activation + moe.experts.down"
    assert experts.measured_seconds == pytest.approx(experts.predicted_seconds, rel=1e-3)
    assert experts.measured_seconds / found.measured_seconds == pytest.approx(whole, rel=0.01)


def test_kernels_of_another_stream_and_what_the_plan_has_not_are_told_apart() -> None:
    priced = decode(known("mixtral"))
    content = json.loads(engine_trace(priced, lambda _: 1.0, casts=False))
    extra = [
        kernel("void mystery::kernel<float>(float*)", one["ts"], 50.0, stream=23)
        for one in content["traceEvents"]
        if one["name"] == NAMES["attention_core"]
    ]
    found = compared(known("mixtral"), json.dumps(content["traceEvents"] + extra).encode())
    (lone,) = found.lone_kernels
    assert (lone.kind, lone.count, lone.seconds) == ("other", 1, pytest.approx(50e-6))


PUBLISHED = """\
op,gpu_us
q down gemm,101
kv down gemm,50
q up gemm,370
kv up gemm,244
flash attention fwd causal,1248
o_proj gemm,895
router gemm,45
shared expert gate+up gemm,255
shared expert down gemm,132
"dispatch (DeepEP internode)",4604
"combine (overlapped)",6002
sum of attention kernels,4306
"""
"""Kernels of a layer of DeepSeek-V3 on H800, EP64, 4096 tokens: deepseek-ai/profile-data @ 44960242 train.json."""


def test_a_table_of_kernels_is_one_layer(tmp_path: Path) -> None:
    """Products and the core of attention are within a third of what was measured, as `dagc validate` has them."""
    (tmp_path / "layer.csv").write_text(PUBLISHED)
    (tmp_path / "plan.moe").write_text(
        "model deepseek-v3\ncluster h800-sxm x 64\nworkload { batch 64 prompt 4096 output 1 }\nstrategy main = ep 64\n"
    )
    result = run(tmp_path, "layer.csv", "--phase", "prefill", "--format", "json")
    assert result.exit_code == 0, result.output
    found = {one["key"]: one for one in json.loads(result.stdout)["operators"]}
    measured = {key: round(found[key]["measured_seconds"] * 1e6) for key in found}
    assert measured == {
        "attention.q_down": 101, "attention.kv_down": 50, "attention.q_up": 370, "attention.kv_up": 244,
        "attention.core": 1248, "attention.out": 895, "moe.router": 45, "moe.shared.up": 255, "moe.shared.down": 132,
        "moe.dispatch": 4604, "moe.combine": 6002,
    }  # fmt: skip
    assert abs(found["attention.core"]["difference_seconds"]) < found["attention.core"]["measured_seconds"] / 3


def run(directory: Path, trace: str, *arguments: str) -> Result:
    return CliRunner().invoke(command, [str(directory / "plan.moe"), str(directory / trace), *arguments])


def written(directory: Path, content: bytes) -> Path:
    (directory / "plan.moe").write_text(PLANS["mixtral"])
    (directory / "trace.json").write_bytes(content)
    return directory


def test_the_page_names_the_cause(tmp_path: Path) -> None:
    slow = engine_trace(decode(known("mixtral")), lambda key: 2.0 if key == "attention.core" else 1.0)
    result = run(written(tmp_path, gzip.compress(slow)), "trace.json")
    assert result.exit_code == 0, result.output
    assert "explained first by attention.core: 2.0" in result.stdout
    assert "62 layers like `moe` of main, decode" in result.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"{", "not JSON"),
        (b"{}", "without `traceEvents`"),
        (b"[1, 2]", "none of its 0 events is a kernel"),
        (b'{"traceEvents": [{"ph": "X", "cat": "cpu_op", "ts": 1, "dur": 2}]}', "none of its 1 events is a kernel"),
        (b'[{"ph": "X", "cat": "kernel", "ts": "soon", "dur": -1}]', "none of its 1 events is a kernel"),
        (b'[{"ph": "X", "cat": ["kernel"], "ts": 1, "dur": 1}, {"cat": {}}]', "none of its 2 events is a kernel"),
        (gzip.compress(bytes(range(256)))[:200], "gzip cannot unpack it"),
        (b"\x1f\x8b\x00", "gzip cannot unpack it"),
        (b"\xff\xfe\x00", "neither JSON nor text"),
        (b"a,b\n1,2\n", "neither JSON nor a table"),
        (b"op,us\ngemm,fast\n", "line 2: `fast` is no duration"),
        (b"op,us\n", "the table has no rows"),
    ],
)
def test_what_is_no_trace_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    result = run(written(tmp_path, content), "trace.json")
    assert result.exit_code == 2
    assert "error[X423]" in result.stderr and said in result.stderr


def test_a_trace_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagc.profile.trace.MOST_TRACE_BYTES", 1000)
    monkeypatch.setattr("dagc.driver.trace_diff.MOST_TRACE_BYTES", 1000)
    assert "X004" in run(written(tmp_path, b"[" + b" " * 2000), "trace.json").stderr
    packed = run(written(tmp_path, gzip.compress(b"[" + b" " * 2000)), "trace.json").stderr
    assert "unpacked it has more than 1,000 bytes" in packed


def test_kernels_that_repeat_nothing_are_no_layers(tmp_path: Path) -> None:
    once = json.dumps([kernel("nvjet_a", 1.0, 2.0)]).encode()
    assert "error[X424]: nothing repeats" in run(written(tmp_path, once), "trace.json").stderr
    other = json.dumps([kernel("void mamba::scan()", 10.0 * at, 2.0) for at in range(9)]).encode()
    assert "error[X424]: no kernel of a layer" in run(written(tmp_path, other), "trace.json").stderr


def test_annotations_choose_kernels(tmp_path: Path) -> None:
    """Kernels launched in `forward`, by correlation; those of `other` would be another layer."""
    priced = decode(known("mixtral"))
    events = json.loads(engine_trace(priced, lambda _: 1.0, casts=False))["traceEvents"]
    for number, one in enumerate(events):
        one["args"]["correlation"] = number
    launches = [
        {"ph": "X", "cat": "cuda_runtime", "name": "launch", "ts": number, "dur": 0.1, "args": {"correlation": number}}
        for number in range(len(events))
    ]  # fmt: skip
    half = len(events) // 2
    notes = [
        {"ph": "X", "cat": "user_annotation", "name": "forward", "ts": 0, "dur": half},
        {"ph": "X", "cat": "user_annotation", "name": "other", "ts": half + 0.5, "dur": half},
    ]
    for one in events[half + 1 :]:
        one["dur"] *= 3
    content = json.dumps(events + launches + notes).encode()
    found = compared(known("mixtral"), content, ("forw*",))
    assert found.measured_seconds == pytest.approx(found.predicted_seconds, rel=1e-6)
    refused = read_kernels(content, "trace.json", ("nothing",))
    assert isinstance(refused, Diagnostic) and "no annotation fits nothing" in refused.message
    assert "`forward`, `other`" in refused.help[0]


def test_dense_layers_among_sparse_ones_are_left_out() -> None:
    """DeepSeek-V3 has 3 dense and 58 sparse layers: of two steps at most 116 are alike, less those at the ends."""
    kernels = read_kernels(engine_trace(decode(known("deepseek")), lambda _: 1.0), "trace.json")
    assert isinstance(kernels, KernelTrace)
    layers = layers_of(kernels)
    assert layers is not None
    assert 112 <= layers.layers <= 116


@pytest.mark.parametrize("arguments", [("--strategy", "none"), ("--phase", "both")])
def test_options_that_name_nothing_are_refused(tmp_path: Path, arguments: tuple[str, str]) -> None:
    content = engine_trace(decode(known("mixtral")), lambda _: 1.0)
    assert run(written(tmp_path, content), "trace.json", *arguments).exit_code == 2
