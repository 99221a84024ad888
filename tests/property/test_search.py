"""Candidates of a search mean what their coordinates say, and no bound is above a price."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.pricing import Judge, judge_of
from dagc.driver.running_bounds import RunningBounds
from dagc.driver.tightening import running
from dagc.metrics import COMPARED
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.search.bounds import LowerBounds
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape, smallest_with, spell
from dagc.search.space import EXTRAS, Families, Space
from dagc.search.verdict import OBJECTIVES
from tests.harness.effort import examples
from tests.unit.search_plans import MODEL, PLAN, facts, space

SKEWED = PLAN.replace("output 16", "output 16    routing zipf 1")
SERVED = PLAN.replace("batch 8", "concurrency 8")
SLOWED = PLAN.replace("price 2 USD/h", "price 2 USD/h    slow 1 by 20 %")
VLLM = "engine vllm\n" + PLAN
DENSE = PLAN.replace("experts 8 { top 2    ffn 2048    shared 1 }", "dense_ffn 4096    experts 0")
LATENT = "model deepseek-v3 { layers 6 }\ncluster h100-sxm x 12\nworkload { batch 12    prompt 300    output 8 }\n"


@cache
def _known(text: str) -> tuple[Judge, Space, tuple[ServiceShape, ...]]:
    of = facts(text)
    judge = Judge("test", of)
    whole = space(of, frozenset(EXTRAS))
    return judge, whole, tuple(Families(whole, judge.refusals, of.workload.batch).shapes())


@st.composite
def _candidates(draw: st.DrawFn, text: str) -> Candidate:
    judge, whole, shapes = _known(text)
    batch = judge.facts.workload.batch
    shape = draw(st.sampled_from(shapes))
    options = draw(st.sampled_from(list(whole.options(shape, Phase.BOTH, batch))))
    return Candidate((ServicePlan(shape, options),), batch)


@pytest.mark.parametrize("text", [PLAN, LATENT, DENSE])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_text_of_a_candidate_means_its_coordinates(text: str, data: st.DataObject) -> None:
    """GPUs, replicas, stages, and every degree, read back by the compiler from the text alone."""
    candidate = data.draw(_candidates(text))
    plan = _known(text)[0].plan(spell(candidate))
    assert not isinstance(plan, Diagnostic)
    (service,), shape = plan.deployment.services, candidate.services[0].shape
    assert plan.deployment.gpus == candidate.gpus
    assert (plan.deployment.replicas, service.stages) == (shape.replicas, shape.stages)
    attention, experts = service.attention_pool.attention, service.experts_pool.experts
    assert attention and (attention.dp, attention.cp, attention.tp) == (
        shape.attention.dp,
        shape.attention.cp,
        shape.attention.tp,
    )
    assert experts and (experts.ep, experts.tp) == (shape.experts.ep, shape.experts.tp)
    assert service.options == candidate.services[0].options


@pytest.mark.parametrize("text", [PLAN, SKEWED, SERVED, SLOWED, LATENT, DENSE])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_is_above_a_price(text: str, data: st.DataObject) -> None:
    """Figures against the bound: even and skewed loads, slowed ranks, prompts that come between, pools of experts."""
    _check(text, data)


@pytest.mark.slow
@pytest.mark.parametrize("text", [PLAN, SKEWED, SERVED, SLOWED, LATENT, DENSE])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_is_above_a_price_of_many(text: str, data: st.DataObject) -> None:
    _check(text, data)


@pytest.mark.parametrize("text", [PLAN, LATENT])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_is_above_a_price_of_two_phases(text: str, data: st.DataObject) -> None:
    """The decode pool begins where the prefill pool ends, on whatever rank of a node that is."""
    prefill, decode = (data.draw(_candidates(text)) for _ in range(2))
    services = (
        replace(prefill.services[0], phase=Phase.PREFILL),
        replace(decode.services[0], phase=Phase.DECODE),
    )
    _bounded(_known(text)[0], Candidate(services, prefill.batch))


WAVES = LATENT.replace("batch 12", "concurrency 30")
MIXED = "engine vllm\n" + LATENT.replace("batch 12    prompt 300", "concurrency 90    prompt 3000")
RANGES = LATENT.replace("batch 12    prompt 300    output 8", "concurrency 30    prompt 300    output 4 to 12")


def _tight(text: str, data: st.DataObject) -> None:
    """Bounds that know the memory are no less than those that do not, and not above prices."""
    judge, batch = _known(text)[0], _known(text)[0].facts.workload.batch
    (service,) = data.draw(_candidates(text)).services
    for phase in Phase:
        one = replace(service, phase=phase)
        (bound,) = judge.tighten([(one, batch)])
        least = LowerBounds(judge.facts, judge.parts).seconds([(one, batch)])
        if phase is Phase.BOTH:
            verdict = judge.verdict(spell(Candidate((one,), batch)), batch, COMPARED)
            if verdict.code is not None or verdict.is_over:
                assert not verdict.is_over or bound.ttft == inf
                continue
            figures = dict(verdict.figures)
            found = {"ttft": figures["ttft"] or 0.0, "tpot": figures["tpot"] or 0.0}
            assert (figures["requests_at_once"] or batch) <= bound.running
        else:
            (seconds,) = (price.figures[0][1] or 0.0 for price in judge.services([(one, batch, 0)]))
            found = {"ttft" if phase is Phase.PREFILL else "tpot": seconds}
        for name, seconds in found.items():
            assert getattr(bound, name) <= seconds * (1 + 1e-12), (phase, name, spell(Candidate((one,), batch)))
            assert bound.ttft == inf or getattr(bound, name) >= least[int(name == "tpot"), 0] * (1 - 1e-12)


@pytest.mark.parametrize("text", [SERVED, WAVES, MIXED])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_that_knows_the_memory_is_above_a_price(text: str, data: st.DataObject) -> None:
    """Waves of prompts in steps of their own and mixed ones, and what does not fit has no bound but infinity."""
    _tight(text, data)


@pytest.mark.slow
@pytest.mark.parametrize("text", [PLAN, SKEWED, SERVED, SLOWED, LATENT, DENSE, WAVES, MIXED, RANGES])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_that_knows_the_memory_is_above_a_price_of_many(text: str, data: st.DataObject) -> None:
    _tight(text, data)


FULL = MODEL + "cluster h100-sxm x 12\nworkload { concurrency 600    prompt 6000    output 4000 }\n"
HELD = "model deepseek-v3 { layers 14 }\n" + FULL.replace(MODEL, "").replace("600 ", "900 ")
CHUNKED = "engine vllm\n" + HELD.replace("output 4000", "output 4000    chunk 60000    draft 1    accept 70 %")
GQA = "engine trtllm\nmodel mixtral-8x7b { layers 12 }\n" + FULL.replace(MODEL, "")


@pytest.mark.parametrize("text", [FULL, HELD, CHUNKED, GQA])
@settings(max_examples=examples(20, 400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_surely_runs_at_once_is_admitted(text: str, data: st.DataObject) -> None:
    """By sizes alone no more than admission finds, where caches hold all, some, or one sequence each."""
    judge, batch = _known(text)[0], _known(text)[0].facts.workload.batch
    (service,) = data.draw(_candidates(text)).services
    service = replace(service, phase=data.draw(st.sampled_from([Phase.BOTH, Phase.DECODE])))
    plan = judge.plan(spell(smallest_with(service, batch)), batch)
    assert isinstance(plan, Plan)
    known = running(service, plan)
    surely = RunningBounds(judge.facts, judge.plan, judge.weight_share).running(service, batch)
    assert known is None or surely <= known.plan.facts.workload.batch, spell(Candidate((service,), batch))


def _check(text: str, data: st.DataObject) -> None:
    _bounded(_known(text)[0], data.draw(_candidates(text)))


def _bounded(judge: Judge, candidate: Candidate) -> None:
    verdict = judge.verdict(spell(candidate), candidate.batch)
    if verdict.code is not None or verdict.is_over:
        return
    bounds = LowerBounds(judge.facts, judge.parts)
    figures = dict(verdict.figures)
    ttft, tpot, throughput = figures["ttft"], figures["tpot"], figures["throughput"]
    assert ttft and tpot and throughput
    first, last = candidate.services[0], candidate.services[-1]
    least = bounds.seconds([(first, candidate.batch), (last, candidate.batch)])
    least_ttft, least_tpot = float(least[0, 0]), float(least[1, 1])
    assert 0 < least_ttft <= ttft * (1 + 1e-12), spell(candidate)
    assert 0 < least_tpot <= tpot * (1 + 1e-12), spell(candidate)
    assert _most(judge, candidate, least_ttft, least_tpot) >= throughput * (1 - 1e-12), spell(candidate)


def _most(judge: Judge, candidate: Candidate, ttft: float, tpot: float) -> float:
    """Output tokens a second: both phases one after the other, or the slower of two that work side by side."""
    workload = judge.facts.workload
    decoding = (workload.output - 1) * tpot
    if len(candidate.services) == 1:
        return workload.output * candidate.batch / (ttft + decoding)
    return workload.output * min(candidate.batch / ttft, candidate.batch / decoding)


@pytest.mark.parametrize("text", [PLAN, SLOWED, SERVED, LATENT, VLLM])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_pair_has_the_prices_of_its_services(text: str, data: st.DataObject) -> None:
    """Each service is priced alone, with some other beside it: TPOT to the last bit, TTFT but for the transfer of the
    cache, which counts where requests come and go; and a pair fits where both services do.
    """
    prefill, decode = (data.draw(_candidates(text)) for _ in range(2))
    first, last = replace(prefill.services[0], phase=Phase.PREFILL), replace(decode.services[0], phase=Phase.DECODE)
    judge, batch = _known(text)[0], prefill.batch
    verdict = judge.verdict(spell(Candidate((first, last), batch)), batch)
    if verdict.code is not None:
        return
    ttft, tpot = (one.figures[0][1] for one in judge.services([(first, batch, 0), (last, batch, first.shape.gpus)]))
    assert ttft and tpot
    assert verdict.is_over == (inf in (ttft, tpot))
    if not verdict.is_over:
        figures = dict(verdict.figures)
        assert figures["tpot"] == tpot
        assert figures["ttft"] == ttft if text is not SERVED else (figures["ttft"] or 0.0) > ttft


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_kept_between_plans_changes_no_figure(data: st.DataObject) -> None:
    """A judge that has priced others says of a candidate what a new one says."""
    candidate = data.draw(_candidates(LATENT))
    text = spell(candidate)
    alone = Judge("alone", facts(LATENT)).verdict(text, candidate.batch)
    assert _known(LATENT)[0].verdict(text, candidate.batch) == alone


@pytest.mark.parametrize("text", [PLAN, SERVED, LATENT, PLAN + "require { bubble <= 20 %    tpot <= 1 ms }\n"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_objectives_alone_are_those_of_all_figures(text: str, data: st.DataObject) -> None:
    """What a search prices without shares, to the last bit, and the same on requirements, of shares too."""
    candidate = data.draw(_candidates(text))
    judge, strategy = _known(text)[0], spell(candidate)
    (alone,) = judge.verdicts([(strategy, candidate.batch)])
    whole = judge.verdict(strategy, candidate.batch)
    assert replace(whole, figures=alone.figures) == alone
    assert {name: value for name, value in whole.figures if name in OBJECTIVES} == dict(alone.figures)


def test_a_refused_degree_is_refused_wherever_it_stands() -> None:
    """Tp 3 does not divide 8 heads: whole strategies with it are refused for that too, not only the one asked first."""
    judge = judge_of(facts(MODEL + "cluster h100-sxm x 12\nworkload { batch 12    prompt 128    output 16 }\n"))
    for text in ("tp 3", "dp 2 < pp 2 < tp 3 > >", "ep 4 ; tp 3", "cp 2 < tp 3 >", "pp 2 [micro 4] < ep 3 < tp 3 > >"):
        assert judge.refusal(text) == "D301"


def test_a_degree_that_an_option_makes_legal_is_in_the_space() -> None:
    """8 experts and a redundant one fill 9 ranks; shared experts 6 wide are not cut in 4, but may be whole."""
    of = facts(PLAN.replace("x 4", "x 9").replace("shared 1", "shared 1    shared_ffn 6"))
    families = Families(space(of, frozenset({"redundant", "shared"})), judge_of(of).refusals, 8)
    shapes = list(families.shapes())
    assert any(one.experts.ep == 9 for one in shapes)
    assert {one.experts.ep > 1 for one in shapes if one.attention.tp == 4} == {True}
    assert sum(one.refused["D307"] for one in families.families()) > 0


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", "megatron"])
def test_an_engine_refuses_a_shape_as_it_refuses_the_text(engine: str) -> None:
    """The quick form by sizes, against the rules on the text: for every shape on 8 GPUs, with and without pools."""
    of = facts(f"engine {engine}\n" + PLAN.replace("x 4", "x 8"))
    judge, whole = judge_of(of), space(of, frozenset({"attention-pools"}))
    for shape in Families(whole, replace(judge.refusals, of_engine=None), 8).shapes():
        for options in whole.stage_choices(shape, Phase.BOTH):
            service = ServicePlan(replace(shape, replicas=1), options)
            text = spell(Candidate((service,), 8))
            assert judge.engine_refusal(service, 8) == judge.refusal(text, 8), text
