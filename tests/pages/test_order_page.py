"""The counts of `order.md` are those of the code."""

from __future__ import annotations

import csv
import re
from fractions import Fraction

import pytest

from dagc.catalog.serving_runs import ServingRun, WorkerDegrees
from dagc.results.coverage import JudgedRun, coverage_of
from dagc.results.intervals import IntervalTable, Quantiles
from dagc.results.plan_order import OrderTable, plan_order
from dagc.results.serving_validation import PredictedRun
from tests.harness.markdown import fenced_blocks
from tests.harness.places import ROOT

BLOCKS = {block.language: block.text for block in fenced_blocks((ROOT / "tests/pages/order.md").read_text("utf-8"))}


def predicted(row: dict[str, str]) -> PredictedRun:
    worker = WorkerDegrees(int(row["tp"]), int(row["adp"]), int(row["ep"]))
    run = ServingRun(
        table="page", model=row["model"], precision="fp8", gpu="h100-sxm", engine="vllm", plan_engine="vllm",
        version="", worker=worker, prompt=1024, output=1024, concurrency=int(row["concurrency"]),
        tpot_seconds=float(row["measured"]) / 1e3, model_text=row["model"],
    )  # fmt: skip
    return PredictedRun(run, float(row["predicted"]) / 1e3, 0.1)


RUNS = [predicted(row) for row in csv.DictReader(BLOCKS["csv"].splitlines())]


def table() -> OrderTable:
    (found,) = plan_order(RUNS).tables
    return found


def value(text: str) -> float:
    """A sum of fractions and decimals, with one division of a bracket."""
    whole, _, divisor = text.rpartition(") / ") if text.startswith("(") else (text, "", "1")
    return float(sum(Fraction(part.strip()) for part in whole.strip("()").split("+")) / Fraction(divisor))


def must_match(pattern: str, line: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, line)
    assert found, line
    return found.groups()


def test_shares_in_order() -> None:
    found = [
        f"{one.kind}: {round(one.ordered * one.pairs)} of {one.pairs}, by group {one.by_group:.0%}"
        for one in table().shares
    ]
    assert [line.replace("%", " %") for line in found] == BLOCKS["order"].splitlines()


def test_regrets() -> None:
    for line, one in zip(BLOCKS["regret"].splitlines(), table().regrets, strict=True):
        limit, choices, regret, with_load = must_match(r"(.*): (\d+) choices?, (.*), with load (.*)", line)
        assert limit == ("all" if one.limit_seconds is None else f"{one.limit_seconds * 1e3:g} ms")
        assert (one.choices, one.worst) == (int(choices), "two h100-sxm vllm: 20.0 %")
        assert (one.regret, one.with_load) == pytest.approx((value(regret), value(with_load)))


def test_coverage() -> None:
    quantiles = Quantiles(8, ((-1.0, 1.0), (-2.0, 2.0)))
    stated = IntervalTable({"new GPU or engine": quantiles}, {})
    found = coverage_of("all", [JudgedRun(one, stated.interval(one.seconds, one.spread, ())) for one in RUNS])
    for line, one in zip(BLOCKS["coverage"].splitlines(), found.levels, strict=True):
        level, inside, of, low, high = must_match(r"(\d+) %: (\d) of (\d), band (\S+) to (\S+)", line)
        assert (one.level, one.inside) == pytest.approx((int(level) / 100, int(inside) / int(of)))
        assert (one.band_low, one.band_high) == pytest.approx((float(low), float(high)), abs=1e-4)


def test_runs_with_all_the_words_are_left_out() -> None:
    """Without model two the order is that of model one; a word that it lacks leaves all in."""
    every, without = plan_order(RUNS, "TWO vllm").tables
    assert [one.pairs for one in every.shares] == [2, 2, 2, 6]
    assert [one.pairs for one in without.shares] == [1, 2, 2, 5]
    assert plan_order(RUNS, "two sglang").tables[1].shares == every.shares
