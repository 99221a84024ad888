"""What plans leave for one another (templates, costs, steps) changes nothing: each has the times that it has alone.

The strategies are chosen so that a wrong key would show: they differ in one thing each, such as the batch, an option,
how ranks lie on nodes, or who is slowed, and many have the same templates by name.
"""

from __future__ import annotations

import pytest

from dagc.cost.price import price
from dagc.driver.strategies import Caches
from dagc.lower.lower import lower
from dagc.plan.plan import Plan
from dagc.schedule.schedule import schedule, schedule_times
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from tests.unit.planning import plan

STRATEGIES = (
    "pp 4 < ep 16 ; tp 2 >",
    "pp 4 [micro 8] < ep 16 ; tp 2 >",
    "pp 4 < ep 16 ; tp 4 >",
    "pp 2 < ep 32 ; tp 2 >",
    "ep 16 ; tp 2",
    "ep 16 ; tp 2 [sp]",
    "ep 16 ; tp 2 [dcp 2]",
    "ep 16 [overlap 2] ; tp 2",
    "ep 16 [redundant 16] ; tp 2",
    "ep 16 [shared replicated] ; tp 2",
    "ep 8 < tp 2 > ; cp 2 < tp 2 >",
    "dp 3 < ep 16 ; tp 2 >",
    "pp 2 < tp 2 > | ep 4",
    "pp 2 < tp 2 | ep 4 >",
    "prefill < ep 16 ; tp 2 > | decode < ep 32 ; tp 2 >",
    "tp 12",
    "pp 3 < tp 12 >",
)
BATCHES = (96, 97)
WORKLOADS = {"uniform": "", "skewed": "    routing zipf 1", "drafting": "    drafted 2    acceptance 60 %"}


def plans(workload: str, cluster: str) -> list[Plan]:
    """Each strategy under each batch."""
    text = (
        "model deepseek-v3 {{ layers 5 }}\n{}\nworkload {{ batch {}    prompt 64    output 16{} }}\nstrategy a = {}\n"
    )
    return [plan(text.format(cluster, batch, workload, one)) for batch in BATCHES for one in STRATEGIES]


def times(one: Plan, known: Caches | None = None) -> list[Timeline]:
    """The timelines of all phases."""
    if known is None:
        return [schedule(price(phase, one)) for phase in lower(one).classes]
    graph = lower(one, known.templates)
    return [schedule(price(phase, one, known.costs), known.timed) for phase in graph.classes]


def assert_same(alone: Timeline, together: Timeline) -> None:
    """Every duration, what comes of them, and the names are the same."""
    names = [[template.key for template in t.priced.graph.templates] for t in (alone, together)]
    assert names[0] == names[1]
    for mine, other in zip(alone.priced.costs, together.priced.costs, strict=True):
        assert [cost.duration.tolist() for cost in mine] == [cost.duration.tolist() for cost in other]
        assert [cost.source for cost in mine] == [cost.source for cost in other]
    assert (alone.makespan, alone.interval, alone.shares) == (together.makespan, together.interval, together.shares)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "cluster"),
    [
        ("uniform", "cluster h100-sxm x 96"),
        ("drafting", "cluster h100-sxm x 96 { slow 5 by 10 % }"),
        pytest.param("skewed", "cluster h100-sxm x 96", marks=pytest.mark.slow),
        pytest.param("uniform", "cluster h100-sxm x 96 { slow 5 by 10 % }", marks=pytest.mark.slow),
    ],
)
def test_times_are_those_of_the_plan_alone(workload: str, cluster: str) -> None:
    known = Caches()
    drawn = plans(WORKLOADS[workload], cluster)
    for one in drawn:
        for alone, together in zip(times(one), times(one, known), strict=True):
            assert_same(alone, together)
    built = sum(len(phase.templates) for one in drawn for phase in lower(one).classes)
    assert len(known.templates.found) < built


def test_a_plan_that_comes_again_builds_and_prices_nothing() -> None:
    known = Caches()
    (first, *_) = plans("", "cluster h100-sxm x 96")
    times(first, known)
    before = len(known.templates.found), len(known.costs.found), len(known.timed.entries)
    times(first, known)
    assert (len(known.templates.found), len(known.costs.found), len(known.timed.entries)) == before


def test_timed_templates_outlive_the_costs_that_they_are_found_by() -> None:
    """Costs and templates that nothing else holds may leave their addresses to others, whose times differ."""
    timed = TemplateCache()
    for one in plans("", "cluster h100-sxm x 96"):
        for phase in lower(one).classes:
            alone = schedule_times(price(phase, one), TemplateCache())
            together = schedule_times(price(phase, one), timed)
            assert (alone.makespan, alone.interval) == (together.makespan, together.interval)
            del alone, together
