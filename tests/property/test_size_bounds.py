"""No service, of whatever size, yields more requests a second than the bounds of its ranks allow."""

from __future__ import annotations

from functools import cache
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.driver.check import silent
from dagc.driver.pricing import Judge
from dagc.driver.strategies import price_plan
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.search.bounds import LowerBounds
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape, smallest_with, spell
from dagc.search.goal import Goal
from dagc.search.size_bounds import size_bounds
from dagc.search.space import Families, Space
from dagc.search.yields import Yields
from tests.harness.effort import examples
from tests.unit.search_plans import MODEL, facts, space

GPUS = 12
MODELS = {
    "tiny": MODEL,
    "dense": MODEL.replace("experts 8 { top 2    ffn 2048    shared 1 }", "dense_ffn 4096    experts 0"),
    "latent": "model deepseek-v3 { layers 6 }\n",
}
WORKLOADS = {
    "short": "workload { concurrency 48    prompt 128    output 16 }\n",
    "long": "workload { concurrency 200    prompt 2900    output 32 }\n",
    "drafted": "workload { concurrency 60    prompt 300    output 9    draft 3    accept 70 % }\n",
    "skewed": "workload { concurrency 40    prompt 300    output 8    routing zipf 1 }\n",
}
ENGINES = ("", "engine vllm\n", "engine sglang\n")


@cache
def _known(model: str, workload: str, engine: str) -> tuple[Judge, Space, Yields, tuple[ServiceShape, ...]]:
    of = facts(MODELS[model] + f"cluster h100-sxm x {GPUS}\n" + WORKLOADS[workload] + engine)
    judge, whole = Judge("test", of), space(of, frozenset({"phase-pools"}))
    families = Families(whole, judge.refusals, of.workload.batch)
    bounds = size_bounds(whole, families, LowerBounds(of, judge.parts), of.workload.batch)
    assert bounds is not None
    yields = bounds.yields(Goal(of, "throughput_per_gpu", (), of.workload.batch))
    return judge, whole, yields, tuple(families.shapes())


def _check(model: str, data: st.DataObject) -> None:
    workload, engine = data.draw(st.sampled_from(sorted(WORKLOADS))), data.draw(st.sampled_from(ENGINES))
    judge, whole, yields, shapes = _known(model, workload, engine)
    batch, output = judge.facts.workload.batch, judge.facts.workload.output
    shape = data.draw(st.sampled_from(shapes))
    for phase in Phase:
        options = data.draw(st.sampled_from(list(whole.options(shape, phase, batch))))
        service = ServicePlan(shape, options, phase)
        # Of one size alone a service may yield the floor, which is what the best of that many may.
        most = shape.gpus * yields.at(phase, shape.gpus).requests
        if phase is Phase.BOTH:
            figures = dict(judge.verdict(spell(Candidate((service,), batch)), batch).figures)
            found, most = (figures.get("throughput") or 0.0) / output, yields.of_size(shape.gpus) / output
        else:
            seconds = dict(judge.services([(service, batch, 0)])[0].figures)["seconds"] or 0.0
            found = batch / ((output - 1) * seconds) if seconds else 0.0
            if phase is Phase.DECODE:
                most = max(most, yields.floor * max(GPUS, shape.gpus))
            else:
                found = _prefilled(judge, service, batch) if 0 < seconds < inf else 0.0
        assert found <= most * (1 + 1e-9), service


def _prefilled(judge: Judge, service: ServicePlan, batch: int) -> float:
    """Requests a second of the service beside a decode service."""
    plan = judge.plan(spell(smallest_with(service, batch)), batch)
    assert isinstance(plan, Plan)
    metrics = price_plan(plan, [], silent, None).assessment.metrics
    return metrics.throughput.prefill_tokens_per_second / plan.facts.workload.prompt if metrics else 0.0


@pytest.mark.parametrize("model", ["tiny", "dense", pytest.param("latent", marks=pytest.mark.slow)])
@settings(max_examples=examples(2, 20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_service_yields_more_than_its_ranks(model: str, data: st.DataObject) -> None:
    _check(model, data)


def test_options_that_bounds_do_not_know_have_none() -> None:
    of = facts(MODEL + f"cluster h100-sxm x {GPUS}\n" + WORKLOADS["short"])
    judge, whole = Judge("test", of), space(of, frozenset({"phase-pools", "sp"}))
    families = Families(whole, judge.refusals, of.workload.batch)
    bounds = LowerBounds(of, judge.parts)
    assert size_bounds(whole, families, bounds, of.workload.batch) is None
