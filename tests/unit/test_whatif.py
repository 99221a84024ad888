"""`dagc whatif`: effects are differences of full runs, known by hand where a plan has one kind of time."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from click.testing import CliRunner, Result

from dagc.catalog.calibration import load_exchanges
from dagc.cli.main import main
from dagc.driver.check import check, silent
from dagc.driver.outcome import Checked
from dagc.driver.whatif import PRICING, Asked, whatif
from dagc.export.records import schema_bytes, schema_file
from dagc.graph.priced import PICOSECONDS
from dagc.results.whatif import Effect, Sensitivities, WhatIf
from dagc.source import Source
from dagc.whatif.decisions import decisions
from dagc.whatif.hardware import hardware
from dagc.whatif.parameter import Answer, Change
from dagc.whatif.sensitivity import operator_seconds
from dagc.whatif.workload import with_requests
from tests.harness.places import ROOT
from tests.harness.records import read_record

EXAMPLE = ROOT / "examples" / "01-deepseek-v3-64-gpus.moe"


SMALL = ("-e", "ep 8", "--model", "mixtral-8x7b { layers 2 }", "--only", "workload")
"""A plan that is priced in a moment."""

MODEL = """model small {
    layers 4    hidden 1024    vocab 8192    dtype bf16
    attention { heads 8    kv_heads 8    head_dim 128 }
    experts 8 { top 2    ffn 1024 }
}
"""

DEVICE = "memory 1 TB    efficiency 100 %    memory_efficiency 100 %"
MEMORY_BOUND = f"cluster lab {{ gpus 8    node 8    device {{ {DEVICE}    bandwidth 1 GB/s    compute 1e6 TFLOP/s }} "
COMPUTE_BOUND = f"cluster lab {{ gpus 8    node 8    device {{ {DEVICE}    bandwidth 1e6 TB/s    compute 1 GFLOP/s }} "
LINKS = "link 1 GB/s    network 1 GB/s    link_efficiency 100 %    link_latency 0.001 ns    collectives nccl }\n"
WORKLOAD = "workload { batch 8    prompt 64    output 8 }\n"


@cache
def asked(text: str, *kinds: str, step: float = 0.1) -> Sensitivities:
    found = whatif(Source("plan.moe", text), (), Path(), Asked(step, kinds), None, silent, ())
    assert not [one for one in found.diagnostics if one.stops]
    return found.answers.strategies[0]


def effects(found: Sensitivities, parameter: str) -> dict[str, Effect]:
    return {effect.change: effect for effect in found.effects if effect.parameter == parameter}


def moved(effect: Effect, metric: str) -> float:
    difference = next(one.difference for one in effect.metrics if one.name == metric)
    assert difference is not None
    return difference


def checked(text: str) -> Checked:
    (one,) = check(Source("plan.moe", text)).checked
    return one


def figures(text: str) -> tuple[float, float, float]:
    """TTFT, TPOT and output tokens a second of a plan's text."""
    metrics = checked(text).priced.assessment.metrics
    assert metrics is not None
    return metrics.prefill.seconds, metrics.decode.seconds, metrics.throughput.output_tokens_per_second


def values(effect: Effect) -> tuple[float | None, ...]:
    known = {one.name: one.value for one in effect.metrics}
    return known["ttft"], known["tpot"], known["throughput"]


def test_a_tenth_more_bandwidth_takes_an_eleventh_of_what_memory_takes() -> None:
    """All is memory-bound on one GPU without a launch: time is bytes / bandwidth, so 1 / 1.1 - 1 = -1/11 and
    1 / 0.9 - 1 = +1/9. Throughput is the inverse: +10 % and -10 %. Peaks do nothing.
    """
    found = asked(MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 1\n", "hardware")
    wider, narrower = effects(found, "bandwidth")["+10 %"], effects(found, "bandwidth")["-10 %"]
    for metric in ("ttft", "tpot"):
        assert moved(wider, metric) == pytest.approx(-1 / 11, rel=1e-6)
        assert moved(narrower, metric) == pytest.approx(1 / 9, rel=1e-6)
    assert moved(wider, "throughput") == pytest.approx(0.1, rel=1e-6)
    assert moved(narrower, "throughput") == pytest.approx(-0.1, rel=1e-6)
    for effect in effects(found, "compute.bf16").values():
        assert [one.difference for one in effect.metrics] == [0] * len(effect.metrics)


def test_every_operator_on_the_path_of_memory_shrinks_alike() -> None:
    found = asked(MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 1\n", "hardware")
    for phase in effects(found, "bandwidth")["+10 %"].phases:
        assert len(phase.operators) == 3
        assert phase.before.memory_share == phase.after.memory_share == 1
        for operator in phase.operators:
            assert operator.after_seconds / operator.before_seconds == pytest.approx(1 / 1.1, rel=1e-4)


def test_a_tenth_more_arithmetic_takes_an_eleventh_of_what_compute_takes() -> None:
    """With endless bandwidth time is FLOPs / peak; what has no FLOPs takes nothing."""
    found = asked(MODEL + COMPUTE_BOUND + LINKS + WORKLOAD + "strategy main = tp 1\n", "hardware")
    faster = effects(found, "compute.bf16")["+10 %"]
    assert moved(faster, "ttft") == pytest.approx(-1 / 11, rel=1e-6)
    assert moved(faster, "tpot") == pytest.approx(-1 / 11, rel=1e-6)


def test_links_act_on_the_share_of_communication() -> None:
    """One lane waits for the other in `tp 2`: with latencies of a femtosecond scale, communication is bytes / rate, and
    a tenth more of the link takes an eleventh of its share, memory's share staying as long as it was.
    """
    found = asked(MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 2\n", "hardware")
    effect = effects(found, "link")["+10 %"]
    share = effect.phases[1].before.communication_share
    assert 0.001 < share < 0.999
    assert moved(effect, "tpot") == pytest.approx(-share / 11, rel=1e-4)


def test_what_a_calibrated_plan_gains_is_what_the_text_with_that_figure_gains() -> None:
    """The other way to the same plan: the figure written into the blocks. h100-sxm has 3.35 TB/s, links of 450 GB/s,
    a network of 50 GB/s and 1,979 TFLOP/s in fp8.
    """
    base = (
        "model deepseek-v3 { layers 5 }\ncluster h100-sxm x 16\n"
        "workload { batch 128 prompt 1024 output 64 }\npp 1 < ep 16 ; tp 2 >\n"
    )
    found = asked(base, "hardware", "workload")
    stated = {
        ("bandwidth", "+10 %"): base.replace("x 16", "x 16 { device { bandwidth 3.685 TB/s } }"),
        ("compute.fp8", "-10 %"): base.replace("x 16", "x 16 { device { compute { fp8 1781.1 TFLOP/s } } }"),
        ("link", "+10 %"): base.replace("x 16", "x 16 { link 495 GB/s }"),
        ("network", "-10 %"): base.replace("x 16", "x 16 { network 45 GB/s }"),
        ("node", "16 GPUs"): base.replace("x 16", "x 16 { node 16 }"),
        ("collectives", "nccl"): base.replace("x 16", "x 16 { collectives nccl }"),
        ("batch", "256"): base.replace("batch 128", "batch 256"),
        ("prompt", "512"): base.replace("prompt 1024", "prompt 512"),
        ("output", "128"): base.replace("output 64", "output 128"),
        ("cached", "50 %"): base.replace("output 64", "output 64 cached 50 %"),
        ("routing", "zipf 1"): base.replace("output 64", "output 64 routing zipf 1"),
    }
    for (parameter, change), written in stated.items():
        assert values(effects(found, parameter)[change]) == pytest.approx(figures(written), rel=1e-9), parameter


def test_fitted_latencies_act_where_a_message_crosses_nodes() -> None:
    """Dispatch and combine of a decode step take launch + log2(nodes) hops each, by kernels for low latency. Two nodes
    and two MoE layers: with a tenth more of each hop a step takes 2 x (a tenth of both hops) longer, because
    all of them are waited for.
    """
    found = asked("model mixtral-8x7b { layers 2 }\ncluster h100-sxm x 8 { node 4 }\nep 8\n", "hardware")
    regimes = load_exchanges("h100-sxm").regimes
    hops = sum(regimes[f"{leg}/low_latency"].coefficients["hop"] for leg in ("dispatch", "combine"))
    slower = effects(found, "network_latency")["+10 %"]
    before, after = slower.phases[1].before.seconds, slower.phases[1].after.seconds
    assert after - before == pytest.approx(2 * 0.1 * hops, rel=1e-3)
    assert slower.note == "scales the fitted hop of every exchange"


def test_strategies_one_decision_away_are_priced_as_their_text_is() -> None:
    found = asked(EXAMPLE.read_text(encoding="utf-8"), "strategy")
    facts = EXAMPLE.read_text(encoding="utf-8").partition("strategy")[0]
    changed = {effect.change: effect for effect in found.effects}
    written = {
        "pp 2": ("pp 2 < ep 16 ; tp 2 >", 32),
        "tp 4": ("pp 4 < ep 16 ; tp 4 >", 64),
        "pp 2, ep 32": ("pp 2 < ep 32 ; tp 2 >", 64),
        "overlap 2": ("pp 4 < ep 16 [overlap 2] ; tp 2 >", 64),
        "micro 8": ("pp 4 [micro 8] < ep 16 ; tp 2 >", 64),
        "shared replicated": ("pp 4 < ep 16 [shared replicated] ; tp 2 >", 64),
        "sp on": ("pp 4 < ep 16 ; tp 2 [sp] >", 64),
    }
    for change, (strategy, gpus) in written.items():
        assert (changed[change].strategy, changed[change].gpus) == (strategy, gpus)
        assert values(changed[change]) == figures(f"{facts}strategy main = {strategy}\n")


def test_what_cannot_be_is_listed_with_its_code() -> None:
    """64 GPUs are there: `pp 8` and `ep 32` would need twice as many."""
    refusals = asked(EXAMPLE.read_text(encoding="utf-8"), "strategy").refusals
    assert {one.change: one.code for one in refusals} == {"pp 8": "G101", "ep 32": "G101"}
    assert all("128 GPUs" in one.reason for one in refusals)


def test_options_are_taken_back_where_they_stand() -> None:
    text = "cluster h100-sxm x 32\npp 2 [micro 4] < ep 16 [overlap 2, shared replicated] ; tp 2 [sp, dcp 2] >\n"
    made = {change.label: change.to for parameter in decisions(checked(text).plan) for change in parameter.changes}
    assert made["micro 2"] == "pp 2 [micro 2] < ep 16 [overlap 2, shared replicated] ; tp 2 [sp, dcp 2] >"
    assert made["overlap 1"] == "pp 2 [micro 4] < ep 16 [shared replicated, overlap 1] ; tp 2 [sp, dcp 2] >"
    assert made["sp off"] == "pp 2 [micro 4] < ep 16 [overlap 2, shared replicated] ; tp 2 [dcp 2] >"
    assert made["dcp 1"] == "pp 2 [micro 4] < ep 16 [overlap 2, shared replicated] ; tp 2 [sp, dcp 1] >"


def test_comments_in_a_strategy_are_in_nobodys_way() -> None:
    text = "pp 2 [micro 4  # in flight ] here\n  ] < # a stage\n  ep 8 >\n"
    made = {change.label: change.to for parameter in decisions(checked(text).plan) for change in parameter.changes}
    assert made["micro 8"] == "pp 2 [micro 8] < ep 8 >"
    assert made["overlap 2"] == "pp 2 [micro 4 ] < ep 8 [overlap 2] >"


def test_a_lone_expert_group_may_get_a_pipeline_or_a_tp_beside_it() -> None:
    made = {change.label: change.to for parameter in decisions(checked("ep 16\n").plan) for change in parameter.changes}
    assert made["pp 2, ep 8"] == "pp 2 < ep 8 >"
    assert made["tp 2"] == "ep 16 ; tp 2"


def test_each_pool_has_its_own_device() -> None:
    """Bandwidth of decode's GPUs does nothing for TTFT, that of prefill's nothing for TPOT."""
    text = (
        "model qwen3-30b-a3b { layers 2 }\ncluster h100-sxm x 16\nworkload { batch 64 prompt 1024 output 64 }\n"
        "prefill < ep 8 > | decode < ep 8 >\n"
    )
    found = asked(text, "hardware")
    decode, prefill = (effects(found, f"{pool}.bandwidth")["+10 %"] for pool in ("decode", "prefill"))
    assert moved(decode, "ttft") == 0 > moved(decode, "tpot")
    assert moved(prefill, "tpot") == 0 > moved(prefill, "ttft")


def test_the_plan_as_it_is_has_the_figures_of_its_summary(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["compile", str(EXAMPLE), "-o", str(tmp_path)])
    summary = json.loads((tmp_path / EXAMPLE.stem / "main" / "summary.json").read_text(encoding="utf-8"))
    base = {one.name: one.value for one in asked(EXAMPLE.read_text(encoding="utf-8"), "strategy").metrics}
    assert base["ttft"] == summary["phases"]["prefill"]["seconds"]
    assert base["tpot"] == summary["phases"]["decode"]["seconds"]
    assert base["throughput"] == summary["throughput"]["output_tokens_per_second"]
    assert base["memory"] == summary["memory"]["per_rank_max_bytes"]


def test_half_and_twice_again_is_the_plan() -> None:
    """Half of each figure of the hardware, then twice that, prices as the plan does, fitted coefficients too."""
    one = checked(
        "model mixtral-8x7b\ncluster h100-sxm x 16\nworkload { batch 32 prompt 256 output 32 }\nep 8 ; tp 2\n"
    )
    metrics = one.priced.assessment.metrics
    assert metrics is not None

    def other(changes: tuple[Change, ...], label: str) -> Any:
        return next(change.to for change in changes if change.label == label)

    names = [p.name for p in hardware(one.plan, 0.5) if any(change.label == "-50 %" for change in p.changes)]
    assert {"bandwidth", "compute.bf16", "link", "link_latency", "exchange_launch", "kernel_launch"} <= set(names)
    for name in names:
        half = other({p.name: p.changes for p in hardware(one.plan, 0.5)}[name], "-50 %")
        whole = other({p.name: p.changes for p in hardware(half, 1.0)}[name], "+100 %")
        answer = PRICING.price(whole)
        assert isinstance(answer, Answer) and answer.found.metrics is not None
        assert answer.found.metrics == metrics, name


def test_requests_in_flight_are_the_batch_that_is_priced() -> None:
    text = "model mixtral-8x7b\nworkload { concurrency 32 prompt 256 output 32 }\nep 8\n"
    load = with_requests(checked(text).plan, "concurrency", 64).facts.workload
    assert (load.batch, load.concurrency) == (64, 64)
    found = asked(text, "workload")
    assert values(effects(found, "concurrency")["64"]) == figures(text.replace("32 prompt", "64 prompt"))


@pytest.mark.parametrize("example", ["01-deepseek-v3-64-gpus", "05-attention-ffn-pools"])
def test_times_on_the_critical_path_sum_to_its_length(example: str) -> None:
    """Messages are met by both ends at once; the time is one."""
    text = (ROOT / "examples" / f"{example}.moe").read_text(encoding="utf-8")
    for one in check(Source(example, text)).checked:
        for timeline in one.priced.timelines or ():
            assert sum(operator_seconds(timeline).values()) == pytest.approx(timeline.makespan / PICOSECONDS)


def test_the_two_streams_of_an_overlap_are_one_operator() -> None:
    one = checked("model mixtral-8x7b { layers 2 }\nep 8 [overlap 2]\n")
    for timeline in one.priced.timelines or ():
        keys = operator_seconds(timeline).keys()
        assert "moe.experts.up" in keys
        assert not [key for key in keys if key.startswith(("a.", "b."))]


def test_requirements_that_turn_over_are_named() -> None:
    """All is memory-bound: with a tenth less bandwidth TTFT takes a ninth more, past a limit of a twentieth more."""
    text = MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 1\n"
    limit = figures(text)[0] * 1.05
    found = asked(f"{text}require {{ ttft <= {limit:.6f} s }}\n", "hardware")
    verdicts = {change: one.verdicts for change, one in effects(found, "bandwidth").items()}
    assert [(one.name, one.before, one.after) for one in verdicts["-10 %"]] == [("ttft", True, False)]
    assert verdicts["+10 %"] == []


def test_a_share_of_a_peak_is_never_above_the_whole() -> None:
    found = asked(MODEL + MEMORY_BOUND + LINKS + WORKLOAD + "strategy main = tp 2\n", "hardware")
    reasons = {(one.parameter, one.change): one.reason for one in found.refusals}
    assert reasons["memory_efficiency", "+10 %"] == "above 100 % of peak"
    assert ("memory_efficiency", "-10 %") not in reasons


def test_a_calibration_holds_in_place_of_flat_shares() -> None:
    reasons = {one.name: one.reason for one in hardware(checked("ep 8\n").plan, 0.1) if not one.changes}
    assert reasons.keys() == {"efficiency", "memory_efficiency", "link_efficiency", "network_efficiency"}
    assert reasons["efficiency"].startswith("fitted")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["whatif", *map(str, arguments)])


def test_the_published_schema_is_that_of_the_models() -> None:
    """When this fails, a model has changed: `python -m dagc.export.records` writes the schema anew."""
    assert schema_file("whatif").read_bytes() == schema_bytes("whatif")


def test_the_document_validates_and_is_the_same_twice() -> None:
    first, again = (run(*SMALL, "--format", "json").stdout for _ in range(2))
    assert first == again
    jsonschema.Draft202012Validator(orjson.loads(schema_file("whatif").read_bytes())).validate(json.loads(first))
    assert read_record(WhatIf, first).strategies[0].gpus == 8


def test_the_text_names_the_strongest_first_and_says_why() -> None:
    result = run(*SMALL, "--why", "1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("defaults: cluster h100-sxm; workload of 128 sequences")
    assert lines[1] == "main: ep 8, 8 GPUs, fits"
    rows = lines[lines.index("workload") + 1 :]
    assert rows[0].startswith("  routing uniform → zipf 1")
    why = next(i for i, line in enumerate(lines) if line.startswith("why"))
    assert lines[why + 1].startswith("  routing zipf 1: prefill")
    assert "moe.experts.up" in lines[why + 3]


def test_a_plan_without_shapes_has_no_effects() -> None:
    result = run(ROOT / "examples" / "11-report-evaluation.moe")
    assert "undetermined without model hidden" in result.stdout
    assert "baseline" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--against", "ep 8"), "--against needs --over"),
        (("--metric", "tpot"), "--metric needs --over"),
        (("--over", "batch", "--format", "svg"), "picture of sensitivities"),
        (("--over", "batch", "--metric", "speed"), "`speed` is none of"),
        (("--over", "batch", "--between", "8", "8"), "8 is not below 8"),
        (("--over", "concurrency"), "the workload has no `concurrency`"),
        (("--strategy", "other"), "the plan has no strategy `other`"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...], complaint: str) -> None:
    result = run("-e", "ep 8", "--model", "mixtral-8x7b", "--only", "workload", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_plan_that_is_wrong_is_told_as_always() -> None:
    result = run("-e", "ep 16 < pp 4 >")
    assert result.exit_code == 1
    assert "H101" in result.stderr
