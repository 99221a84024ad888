"""What is stated beside a time: its interval, verdicts within error, and which of two plans is faster."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, log
from typing import get_args

import pytest

from dagc.catalog.serving_runs import ServingRun, WorkerDegrees
from dagc.driver.check import check
from dagc.driver.compare import Given, compare
from dagc.driver.outcome import Checked
from dagc.export.text.comparison import faster_text
from dagc.export.text.summary import interval_text, render_text
from dagc.results.assemble import summarize
from dagc.results.intervals import FILE, Group, IntervalTable, Location, Quantiles, packaged
from dagc.results.paired import OTHER, STEPS, PairErrors, error_of, pair_errors
from dagc.results.plan_order import Pair
from dagc.results.serving_validation import PredictedRun
from dagc.source import Source
from tests.harness.places import ROOT

PLAN = """model minimax-m2.5 {{ dtype fp8 }}
cluster b200-sxm x 4
engine vllm
workload {{ concurrency 16 prompt 1024 output 1024 }}
{require}
strategy wide = tp 4
strategy mixed = ep 4 ; tp 4
"""

STATIC = PLAN.replace("concurrency", "batch")
"""The same without requests that come and go, which a comparison simulates."""


def checked(require: str = "", plan: str = PLAN) -> Checked:
    outcome = check(Source("p.moe", plan.format(require=require)), sample=None)
    return outcome.checked[0]


# Intervals


def table(depth_of_known: int) -> IntervalTable:
    """Groups differ in their upper quantile alone, by which they are told apart."""
    groups: dict[Group, Quantiles] = {
        group: Quantiles(10, ((-1.0, 1.0), (-2.0, 2.0 + i))) for i, group in enumerate(get_args(Group))
    }
    path = ("gpu", "model", "strategy")
    return IntervalTable(groups, {path[:n]: Location(0.5 * n, 2.0) for n in range(depth_of_known + 1)})


@pytest.mark.parametrize(
    ("depth", "group"), [(0, "new GPU or engine"), (1, "new model"), (2, "new strategy"), (3, "known configuration")]
)
def test_the_group_is_the_longest_known_path(depth: int, group: str) -> None:
    """Spread 10 %: the upper end of depth n is 0.1 · (0.5 n + 2 · (2 + n)) above, in logarithms."""
    found = table(depth).interval(2.0, 0.1, ("gpu", "model", "strategy"))
    assert found.group == group
    assert log(found.high_80 / 2.0) == pytest.approx(0.1 * (0.5 * depth + 2 * (2 + depth)))


def test_a_known_path_is_left_at_the_first_part_that_differs() -> None:
    assert table(3).interval(1.0, 0.1, ("gpu", "other", "strategy")).group == "new model"
    assert table(3).interval(1.0, 0.1, ("other", "model", "strategy")).group == "new GPU or engine"


def test_groups_that_no_path_decides_have_no_shift() -> None:
    found = table(3).interval(1.0, 0.1, ("gpu", "model", "strategy"), "separate pools")
    assert (found.group, found.low_50) == ("separate pools", pytest.approx(exp(-0.1)))


def test_the_packaged_table_has_all_groups_nested_and_its_sources() -> None:
    groups = packaged().groups
    assert set(groups) == set(get_args(Group))
    for one in groups.values():
        (low_50, high_50), (low_80, high_80) = one.bounds
        assert low_80 <= low_50 <= high_50 <= high_80 and one.runs > 0
    assert all(place.scale > 0 for place in packaged().known.values()) and () in packaged().known
    data = json.loads(FILE.read_text("utf-8"))
    assert data["commit"] and sum(source["runs"] for source in data["sources"]) > 1_000
    assert "/" not in data["commit"] and "work" not in FILE.read_text("utf-8")


@pytest.mark.parametrize(
    ("workload", "strategy", "group"),
    [
        ("concurrency 16 prompt 1024 output 1024", "tp 4", "known configuration"),
        ("batch 16 prompt 1024 output 1024", "tp 4", "static batch"),
        ("batch 16 prompt 1024 output 1024", "tp 1", "static batch, one GPU"),
        ("concurrency 16 prompt 1024 output 1024", "prefill < tp 2 > | decode < tp 2 >", "separate pools"),
        ("concurrency 16 prompt 1024 output 1024", "pp 2 < tp 2 >", "new strategy"),
    ],
)
def test_what_is_known_of_a_plan(workload: str, strategy: str, group: str) -> None:
    facts = "model minimax-m2.5 { dtype fp8 }\ncluster b200-sxm x 4\nengine vllm\n"
    text = f"{facts}workload {{ {workload} }}\n{strategy}\n"
    phases = checked(plan=text.replace("{", "{{").replace("}", "}}")).priced.metrics.phases
    assert phases.decode.interval is not None and phases.decode.interval.group == group
    assert phases.prefill.interval is not None and phases.prefill.interval.group.startswith("static batch")


def test_a_time_is_printed_with_its_interval() -> None:
    found = checked()
    text = render_text(summarize(found.plan, found.priced.assessment))
    assert text.count("(80 %: ") == 2 and "of a known configuration (" in text
    decode = found.priced.metrics.decode
    assert decode.interval is not None
    near = replace(decode, interval=replace(decode.interval, low_80=0.0234, high_80=0.0301))
    assert interval_text(near) == "80 %: 23.4-30.1 ms"
    assert (
        interval_text(replace(near, interval=replace(decode.interval, low_80=0.9, high_80=1.5))) == "80 %: 900 ms-1.5 s"
    )


@pytest.mark.parametrize(
    ("of", "verdict"),
    [("above", "met"), ("high", "met within error"), ("low", "missed within error"), ("below", "missed")],
)
def test_a_verdict_knows_the_interval(of: str, verdict: str) -> None:
    """Limits above the interval, between the time and either end of it, and below."""
    decode = checked().priced.metrics.decode
    assert decode.interval is not None
    low, high = decode.interval.bounds(0.8)
    limit = {
        "above": high * 1.01,
        "high": (decode.seconds + high) / 2,
        "low": (decode.seconds + low) / 2,
        "below": low * 0.99,
    }[of]
    found = checked(f"require {{ tpot <= {limit * 1e3:.6f} ms }}")
    (row,) = summarize(found.plan, found.priced.assessment).requirements
    assert (row.verdict, row.ok) == (verdict, verdict.startswith("met"))
    notes = [note for one in found.diagnostics if one.code.code == "R101" for note in one.notes]
    assert any("within error" in note for note in notes) is (verdict == "missed within error")


def test_what_is_no_time_has_no_interval() -> None:
    found = checked("require { memory <= 180 GB }")
    (row,) = summarize(found.plan, found.priced.assessment).requirements
    assert row.verdict == "met"


# Pairs


def run(group: str, gpus: int, measured: float, predicted: float) -> PredictedRun:
    one = ServingRun(
        table="t", model=group, precision="fp8", gpu="g", engine="e", plan_engine="e", version="",
        worker=WorkerDegrees(gpus), prompt=1, output=1, concurrency=gpus, tpot_seconds=measured, model_text="",
    )  # fmt: skip
    return PredictedRun(one, predicted, 0.1)


def pair(group: str, measured: float, predicted: float) -> Pair:
    """Of tp 2 to tp 4, whose times have these ratios."""
    return Pair("tp degree", run(group, 2, 1.0, 1.0), run(group, 4, measured, predicted))


def test_the_error_of_a_pair_is_of_its_ratio() -> None:
    assert error_of(pair("a", 0.5, 0.8)) == pytest.approx(log(0.8 / 0.5))


def test_each_group_of_pairs_counts_once() -> None:
    """Three groups: errors of ln 2 in the first, forty times, of ln 3 in the second and ln 4 in the third."""
    pairs = [*[pair("a", 1.0, 2.0)] * 40, pair("b", 1.0, 3.0), pair("c", 1.0, 4.0)]
    found = pair_errors(pairs)["tp degree"]
    assert (found.pairs, found.groups) == (42, 3)
    assert [found.quantiles.count(pytest.approx(log(n))) for n in (2, 3, 4)] == [13, 13, 13]


def test_few_groups_say_nothing_of_the_direction() -> None:
    """One group whose errors are all ln 2: half of them count as -ln 2, and plans of equal prediction are at 50 %."""
    found = pair_errors([pair("a", 1.0, 2.0)] * 5)
    for kind in ("tp degree", OTHER):
        assert found[kind].probability(0.0) == pytest.approx(0.5, abs=STEPS[0])


def test_the_odds_are_those_of_the_error_being_larger() -> None:
    """Errors from -1.9 to 1.9 in steps of 0.1 at 2.5 %, 5 % …: a second plan predicted e^-0.9 as slow is above -0.9."""
    errors = PairErrors("tp degree", 39, 3, tuple((i - 20) / 10 for i in range(1, 40)))
    assert errors.probability(0.0) == pytest.approx(0.5)
    assert errors.probability(-0.9) == pytest.approx(1 - 11 / 40)
    assert errors.probability(-0.95) == pytest.approx(1 - 10.5 / 40)
    assert (errors.probability(9.0), errors.probability(-9.0)) == (STEPS[0], 1 - STEPS[0])


def test_two_plans_are_put_in_order_with_odds_whichever_comes_first() -> None:
    text = STATIC.format(require="")
    lines = text.splitlines()
    swapped = "\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n"
    found = [compare([Given(Source("p.moe", one), ROOT)], (), (), lambda _: None).comparison for one in (text, swapped)]
    (first,), (second,) = (one.faster for one in found)
    assert (first.faster, first.probability) == (second.faster, pytest.approx(second.probability))
    assert first.kind == "tp and ep" and 0.5 <= first.probability < 1
    assert "% (" in faster_text(first) and "measured pairs that differ in tp and ep" in faster_text(first)


def test_plans_of_two_models_have_no_odds() -> None:
    other = STATIC.replace("minimax-m2.5", "glm-5").format(require="")
    given = [
        Given(Source(f"{i}.moe", text), ROOT, frozenset({"wide"}))
        for i, text in enumerate((STATIC.format(require=""), other))
    ]
    assert compare(given, (), (), lambda _: None).comparison.faster == []
