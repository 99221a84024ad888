"""The question is enough for a search; what ends it, what would do where nothing meets it, and the ratio of pools."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dagc.cli import search as command
from dagc.cli.main import main
from dagc.driver.front_load import pool_ratio
from dagc.driver.pricing import judge_of
from dagc.driver.search import SearchOptions, search
from dagc.driver.strategies import price_plan
from dagc.driver.verify import verify
from dagc.export.records import json_bytes, plain
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.results.paired import probability_faster
from dagc.results.search_result import SearchResult
from dagc.search import budget
from dagc.search.bounds import ServiceBound
from dagc.search.candidate import ServicePlan, ServiceShape
from dagc.search.choice import PlanChoice
from dagc.search.goal import OBJECTIVE_NAMES, Goal, ObjectiveName
from dagc.search.incumbents import PricedStrategy
from dagc.search.service_order import ServiceOrder
from dagc.search.services import ServiceColumn
from dagc.search.ties import TIED, with_ties
from dagc.search.verdict import StrategyVerdict
from dagc.source import Source
from tests.unit.search_plans import PLAN, facts

SERVED = PLAN.replace("batch 8", "concurrency 64").replace("x 4", "x 2")


def _result(text: str, options: SearchOptions | None = None) -> SearchResult:
    found = search(Source("plan", text), (), Path(), options or SearchOptions(), lambda _: None).result
    assert found is not None
    return found


def test_options_alone_are_a_question(tmp_path: Path) -> None:
    """No file and no strategy; the result takes all GPUs, is proven, and is verified by another command."""
    options = ["--model", "mixtral-8x7b", "--cluster", "h100-sxm x 2", "--workload", "batch 4 prompt 64 output 8"]
    arguments = ["search", *options, "--over", "none", "--workers", "1", "-o", str(tmp_path)]
    ended = CliRunner().invoke(main, [*arguments, "--require", "tpot <= 50 ms"])
    assert ended.exit_code == 0, ended.output
    assert "optimal: no strategy that was searched is better" in ended.output
    written = tmp_path / "mixtral-8x7b" / "search" / "search.json"
    assert {one["gpus"] for one in json.loads(written.read_bytes())["front"]} == {2}
    assert "bounds hold" in CliRunner().invoke(main, ["verify", str(written)]).output


WRONG = ["", "--model mixtral-8x7b", "-e tp_2 --gpus 8..4", "-e tp_2 --gpus 0", "-e tp_2 --objective speed"]


@pytest.mark.parametrize("arguments", WRONG)
def test_a_question_that_is_none_is_a_usage_error(arguments: str) -> None:
    words = [word.replace("_", " ") for word in arguments.split()]
    assert CliRunner().invoke(main, ["search", *words]).exit_code == 2


def test_the_command_offers_every_objective() -> None:
    """The command has its own list, because it imports nothing of the search before it runs."""
    assert command.OBJECTIVES == OBJECTIVE_NAMES


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_the_best_is_the_best_of_the_front_by_the_objective(objective: ObjectiveName) -> None:
    """Of all plans of up to 3 GPUs: the figure of the best is the extreme of the whole front's."""
    result = _result(PLAN, SearchOptions(gpus=(1, 3), objective=objective))
    figure = {"cost": "cost_per_million_output_tokens"}.get(objective, objective)
    values = [one.figures[figure] or 0.0 for one in result.front]
    assert result.is_complete and result.proofs[0].is_proven
    assert values[0] == (max if objective.startswith("throughput") else min)(values)


def test_a_search_that_time_ended_is_repeated_by_its_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock ends it at its 12th look; as many evaluations end another at the same place, with the same result."""
    clock = itertools.count()
    options = SearchOptions(over=frozenset({"phase-pools"}))
    with monkeypatch.context() as patch:
        patch.setattr(budget.time, "monotonic", lambda: float(next(clock)))
        timed = _result(SERVED, replace(options, seconds=12.0))
    again = _result(SERVED, replace(options, most=timed.budget.evaluations, workers=2))
    assert (timed.budget.ended_by, again.budget.ended_by) == ("time", "evaluations")
    assert {**plain(timed), "budget": None} == {**plain(again), "budget": None}


OPEN = PLAN.replace("batch 8", "rate 900 requests/s").replace("x 4", "x 2")


def test_a_rate_is_searched_with_what_may_be_in_flight_at_the_limit(tmp_path: Path) -> None:
    """900 requests a second, each in flight for 1 ms and 15 steps of 2 ms: 27.9, so 28, of 16 tokens; what is found
    yields 14,400 tokens a second, and another command reads the question that it answers.
    """
    text = OPEN + "require { ttft <= 1 ms    tpot <= 2 ms }\n"
    result = _result(text)
    (best, *_), proof = result.front, result.proofs[0]
    assert (best.batch, proof.batch, proof.is_proven) == (28, 28, True)
    assert (best.figures["throughput"] or 0.0) >= 14_400
    assert [one.required for one in best.requirements] == ["<= 1 ms", "<= 2 ms", ">= 14400 output tokens/s"]
    asked = facts(result.question)
    assert (asked.workload.concurrency, asked.workload.requests_per_second) == (28, 900)
    found = verify(Source("search.json", json_bytes(result).decode()), tmp_path)
    assert not found.diagnostics


@pytest.mark.parametrize(("rate", "is_met"), [(900, True), (10**7, False)])
def test_a_rate_alone_is_a_question(rate: int, *, is_met: bool) -> None:
    """With as many in flight as the first known strategy needs; what yields the most is named where none does."""
    result = _result(OPEN.replace("900", str(rate)))
    assert bool(result.front) == is_met
    if is_met:
        held = result.front[0].batch
        assert held & (held - 1) == 0 and (result.front[0].figures["throughput"] or 0.0) >= 16 * rate
    else:
        assert "throughput" in result.reason or result.relaxations


def test_a_trace_without_a_rate_is_no_question(tmp_path: Path) -> None:
    """One request has none."""
    (tmp_path / "one.csv").write_text("arrival,prompt,output\n0,128,16\n", encoding="utf-8")
    text = PLAN.replace("batch 8    prompt 128    output 16", 'trace "one.csv"')
    found = search(Source("plan", text), (), tmp_path, SearchOptions(), lambda _: None)
    assert [one.code.code for one in found.diagnostics] == ["X503"]


def test_a_service_that_falls_is_counted_once() -> None:
    """Its bound misses TPOT, and so does its price: one service of three is left out."""
    text = SERVED + "require { tpot <= 1 s }\n"
    goal = Goal(facts(text), "throughput_per_gpu", (0,), 64)
    ones, numbers = np.ones(3), np.ones(3, dtype=np.int64)
    services = [ServicePlan(ServiceShape(1, 1), phase=Phase.DECODE)] * 3
    column = ServiceColumn(
        Phase.DECODE,
        1,
        64,
        [],
        services,
        0 * numbers,
        numbers,
        ones,
        numbers,
        ones,
        0.5 * ones,
        numbers,
        ones,
        numbers > 1,
    )
    order = ServiceOrder(column, goal, 2, 0)
    column.tighten([1], [ServiceBound(0.0, 2.0, 1)])
    order.tightened([1])
    order.priced([1], [3.0])
    assert (order.alive, order.missed["tpot"].number, order.missed["tpot"].nearest) == (2, 1, 2.0)


@pytest.mark.parametrize(("output", "rates"), [(1, (np.inf, 0)), (3, (2, 0))])
def test_a_service_that_does_not_fit_has_no_rate(output: int, rates: tuple[float, float]) -> None:
    """Of two services that decode four sequences by 1 s a step, one does not fit: TPOT has no end, at no step too."""
    given = facts(SERVED.replace("output 16", f"output {output}"))
    ones, number = np.ones(2), np.ones(2, dtype=np.int64)
    services = [ServicePlan(ServiceShape(1, 1), phase=Phase.DECODE)] * 2
    tpot = np.array([1.0, np.inf])
    column = ServiceColumn(
        Phase.DECODE, 1, 64, [], services, 0 * number, number, ones, number, ones, tpot, 4 * number, ones, number > 0
    )
    assert column.rates(given).tolist() == list(rates)


@pytest.mark.slow
def test_what_would_do_is_priced_and_is_no_less_than_needed() -> None:
    """Nine tenths of the lowest TPOT of 64 in flight are asked for: at the load that is named a plan has it, at twice
    that none; the TPOT that is named is that of the best plan by TPOT.
    """
    lowest = _result(SERVED, SearchOptions(objective="tpot")).front[0]
    text = SERVED + f"require {{ tpot <= {0.9 * 1e6 * (lowest.figures['tpot'] or 0.0):.3f} us }}\n"
    result = _result(text)
    assert not result.front and result.proofs[0].is_proven
    would = {one.what: one for one in result.relaxations}
    load = would["concurrency"].batch
    assert _result(text.replace("concurrency 64", f"concurrency {load}")).front
    assert load == 32 or not _result(text.replace("concurrency 64", f"concurrency {2 * load}")).front
    assert would["tpot"].strategy == lowest.strategy
    assert would["tpot"].figures["tpot"] == lowest.figures["tpot"]


def test_a_tie_is_what_is_the_better_one_in_one_of_four_cases() -> None:
    """By odds of 0.5 / ratio: 2 is such a case, 2.1 is not. Fewer GPUs come first, then the shorter text; nothing ties
    with a plan of which nothing is known.
    """
    scores = {"tp 4": 1.0, "ep 4 ; tp 2": 2.0, "dp 2": 1.5, "ep 4": 1.9, "tp 2": 2.1}
    gpus = {"dp 2": 2.0, "tp 2": 2.0}
    plans = [
        PricedStrategy(text, 8, StrategyVerdict(None, 0.5, (("gpus", gpus.get(text, 4.0)), ("tpot", score))))
        for text, score in sorted(scores.items(), key=lambda one: one[1])
    ]
    score = lambda verdict: verdict.vector[2]  # noqa: E731
    best = PlanChoice(chosen=plans[0])
    ordered, ties = with_ties(best, plans, score, lambda _one, _other, ratio: 0.5 / ratio)
    assert ([one.strategy for one in ordered], ties) == (["tp 4", "dp 2", "ep 4", "ep 4 ; tp 2", "tp 2"], 3)
    assert with_ties(best, plans, score, lambda *_: None) == (plans, 0)


def test_ties_of_a_search_are_by_the_odds_that_compare_tells() -> None:
    """Of all plans of two GPUs: each ties where errors of measured pairs make it the better one in a case of four."""
    result = _result(SERVED)
    judge, best = judge_of(facts(SERVED)), result.front[0]
    plans = [judge.plan(one.strategy, one.batch) for one in result.front]
    figures = [1 / (one.figures["throughput_per_gpu"] or 1.0) for one in result.front]
    for one, plan, seconds in zip(result.front[1:], plans[1:], figures[1:], strict=True):
        assert isinstance(plan, Plan) and isinstance(plans[0], Plan)
        odds = probability_faster(plans[0], plan, figures[0], seconds)
        assert one.tied == (odds is not None and odds[0] >= TIED), (best.strategy, one.strategy)


def test_the_ratio_of_pools_by_hand() -> None:
    """Two GPUs each. Prefill yields 30 requests a second, 15 a GPU, decode 40, 20 a GPU: prefill limits. 3 : 1 is as
    good where 30 / P = 20, for prompts P = 1.5 times as long as 128 tokens; decode of 15 steps yields 600 tokens.
    """
    judge = judge_of(facts(PLAN))
    plan = judge.plan("prefill < tp 2 > | decode < tp 2 >", 8)
    assert isinstance(plan, Plan)
    metrics = price_plan(plan, [], lambda _: None).metrics
    rates = replace(
        metrics.throughput, limited_by="prefill", prefill_tokens_per_second=30 * 128.0, decode_tokens_per_second=600.0
    )
    found = pool_ratio(plan, rates)
    assert found is not None
    assert found.sentence == "1 prefill : 1 decode; prefill limits; from a prompt of about 192 tokens on it is 3 : 1"
