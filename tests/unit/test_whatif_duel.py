"""Break-even points: found to the whole number, and true there and one step before."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from dagc.driver.check import check, silent
from dagc.driver.whatif import Asked, BreakEvenQuery, whatif
from dagc.results.whatif import PlanComparison
from dagc.source import Source
from dagc.whatif.break_even import changes, ladder, located

FACTS = "model mixtral-8x7b { layers 4 }\ncluster h100-sxm x 16\nworkload { batch 64 prompt 256 output 32 }\n"


def duels(facts: str, strategy: str, query: BreakEvenQuery) -> list[PlanComparison]:
    found = whatif(Source("plan.moe", f"{facts}strategy main = {strategy}\n"), (), Path(), Asked(), query, silent, ())
    return found.answers.duels


def figures(strategy: str, batch: int) -> tuple[float, float]:
    """TTFT and TPOT of a plan's text."""
    text = f"{FACTS.replace('batch 64', f'batch {batch}')}strategy main = {strategy}\n"
    (one,) = check(Source("plan.moe", text)).checked
    metrics = one.priced.assessment.metrics
    assert metrics is not None
    return metrics.prefill.seconds, metrics.decode.seconds


def test_rungs_are_powers_of_two_and_half_as_much_again() -> None:
    assert ladder(1, 16) == (1, 2, 3, 4, 6, 8, 12, 16)
    assert ladder(5, 13) == (5, 6, 8, 12, 13)


@pytest.mark.parametrize("place", [2, 37, 1000, 1024])
def test_one_change_is_found_to_the_whole_number(place: int) -> None:
    rungs = {rung: rung >= place for rung in ladder(1, 1024)}
    assert changes(located(rungs, lambda x: x >= place)) == (place,)


def test_all_changes_that_the_ladder_shows_are_found() -> None:
    """Below 10, from 10 to 99, from 100 to 399, from 400: four leads."""

    def lead(x: int) -> int:
        return sum(x >= place for place in (10, 100, 400))

    assert changes(located({rung: lead(rung) for rung in ladder(1, 1024)}, lead)) == (10, 100, 400)


def test_what_comes_and_goes_around_a_break_even_is_found() -> None:
    """True at 700, false again from 702 on, true for good from 710: between the rungs 512 and 768 only one change."""

    def lead(x: int) -> bool:
        return 700 <= x < 702 or x >= 710

    assert changes(located({rung: lead(rung) for rung in ladder(1, 1024)}, lead)) == (700, 702, 710)


def test_nothing_that_never_changes_is_looked_at_again() -> None:
    looked: list[int] = []
    assert changes(located(dict.fromkeys(ladder(1, 64), 0), lambda x: looked.append(x) or 0)) == ()
    assert looked == []


def test_each_break_even_is_one_when_both_plans_are_compiled_there() -> None:
    """The leader at the point is another than one step before, by the figures of two texts compiled each for itself."""
    (duel,) = duels(FACTS, "ep 8", BreakEvenQuery("batch", "tp 8", (8, 512), ("ttft", "tpot")))
    assert [side.gpus for side in duel.sides] == [8, 8]
    crossings = [(number, one) for number, figure in enumerate(duel.figures) for one in figure.crossings]
    assert crossings
    for number, one in crossings:
        before = figures("ep 8", one.at - 1)[number], figures("tp 8", one.at - 1)[number]
        there = figures("ep 8", one.at)[number], figures("tp 8", one.at)[number]
        assert (one.before, one.values) == (before, there)
        assert (before[0] < before[1]) != (there[0] < there[1]) or before[0] == before[1] or there[0] == there[1]
        leads = "first" if there[0] < there[1] else "second" if there[0] > there[1] else None
        assert one.leads == leads


def test_a_plan_is_even_with_itself() -> None:
    (duel,) = duels(FACTS, "ep 8", BreakEvenQuery("prompt", "ep 8", (64, 128)))
    assert [(figure.leads, figure.crossings, figure.is_monotone) for figure in duel.figures] == [(None, [], True)] * 3


def test_without_a_rival_each_strategy_one_decision_away_is_one() -> None:
    """`ep 16` is one as well, and refused at every point: a layer has 8 experts."""
    found = duels(FACTS, "ep 8", BreakEvenQuery("batch", None, (64, 65), ("tpot",)))
    rivals = {duel.sides[1].strategy: duel for duel in found}
    assert list(rivals) == ["ep 4", "ep 16", "pp 2 < ep 4 >", "ep 8 ; tp 2", "ep 8 [overlap 2]"]
    assert [one.code for one in rivals["ep 16"].sides[1].refusals] == ["D203"]
    assert [name for name, duel in rivals.items() if not duel.priced] == ["ep 16"]


def test_a_rival_may_be_another_strategy_of_the_plan() -> None:
    text = f"{FACTS}strategy one = ep 8\nstrategy two = tp 8\n"
    asked, query = Asked(name="one"), BreakEvenQuery("output", "two", (16, 17), ("tpot",))
    found = whatif(Source("plan.moe", text), (), Path(), asked, query, silent, ())
    assert [[side.strategy for side in duel.sides] for duel in found.answers.duels] == [["ep 8", "tp 8"]]


def test_points_that_are_refused_are_told() -> None:
    """Two replicas of a batch of one: one has nothing to do."""
    (duel,) = duels(FACTS, "ep 8", BreakEvenQuery("batch", "dp 2 < ep 8 >", (1, 4), ("tpot",)))
    assert [(one.change, one.code) for one in duel.sides[1].refusals] == [("1", "D107")]
    assert duel.priced == [2, 3, 4]


def test_the_table_has_a_row_for_each_lead() -> None:
    options = ("--model", "mixtral-8x7b { layers 4 }", "--cluster", "h100-sxm x 8")
    result = CliRunner().invoke(
        main, ["whatif", "-e", "ep 8", *options, "--over", "batch", "--between", "8", "64", "--against", "tp 8"]
    )
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    lines = lines[1:]
    assert lines[:2] == ["A  ep 8   8 GPUs", "B  tp 8   8 GPUs"]
    assert lines[3].split()[:3] == ["from", "batch", "leads"]
    assert lines[4].split()[:2] == ["TTFT", "8"]


@pytest.mark.parametrize(
    ("against", "code"), [("ep 16 <", "S"), ("ep 8 < pp 2 >", "H101"), ("model mixtral-8x7b", "N119"), ("", "")]
)
def test_a_rival_that_cannot_be_is_a_diagnostic(against: str, code: str) -> None:
    result = CliRunner().invoke(
        main, ["whatif", "-e", "ep 8", "--model", "mixtral-8x7b", "--over", "batch", "--against", against]
    )
    assert result.exit_code == 1
    assert f"error[{code}" in result.stderr
