"""Lower bounds are never more than what is priced, for every mixer, routing, draft and engine.

Of layers, what their operators take; of services with any pipeline, TTFT and TPOT.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.cost.price import price
from dagc.degrees import Degrees
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.pricing import Judge
from dagc.graph.priced import Picoseconds, PricedPhase
from dagc.lower.lower import lower_service
from dagc.ops.op import Lane
from dagc.plan.deployment import Phase
from dagc.schedule.schedule import schedule
from dagc.search.bounds import LowerBounds
from dagc.search.candidate import Candidate, PoolForm, ServicePlan, ServiceShape, spell
from dagc.search.layer_bounds import BESIDE, BUSY, PATH, TRAILING, LayerBounds, StageConfig
from dagc.search.space import EXTRAS, Families, Space
from tests.harness.effort import examples
from tests.unit.search_plans import MODEL, facts, space

CLUSTER = "cluster h100-sxm x 12\n"
WORKLOAD = "workload {{ batch 12    prompt {}    output 8    {} }}\n"
MODELS = {
    "tiny": MODEL,
    "dense": MODEL.replace("experts 8 { top 2    ffn 2048    shared 1 }", "dense_ffn 4096    experts 0"),
    "latent": "model deepseek-v3 { layers 6 }\n",
    "indexed": "model deepseek-v3.2 { layers 5 }\n",
    "linear": "model qwen3-next-80b-a3b { layers 8 }\n",
    "scaled": "model gpt-oss-120b { layers 4 }\n",
    "groups": "model deepseek-v4-flash\n",
    "hybrid": "model nemotron-3-nano-30b-a3b\n",
    "windows": "model gemma-4-26b-a4b\n",
}
WORKLOADS = {
    "even": WORKLOAD.format(128, ""),
    "long": WORKLOAD.format(2900, ""),
    "skewed": WORKLOAD.format(300, "routing zipf 1"),
    "drafted": WORKLOAD.format(301, "draft 3    accept 70 %    cached 30 %"),
}
ENGINES = ("", "engine vllm\n", "engine sglang\n", "engine trtllm\n")


PHASES = (Phase.PREFILL, Phase.DECODE)

Stage = tuple[ServicePlan, int]
"""A service of one stage, and its sequences."""


@cache
def _known(model: str, workload: str, engine: str) -> tuple[Judge, LayerBounds, Space, tuple[ServiceShape, ...]]:
    of = facts(MODELS[model] + CLUSTER + WORKLOADS[workload] + engine)
    judge = Judge("test", of)
    return judge, LayerBounds(of, judge.parts), space(of, frozenset(EXTRAS)), _shapes(model, engine)


@cache
def _shapes(model: str, engine: str) -> tuple[ServiceShape, ...]:
    """Shapes that no rule refuses. To find them takes a second, and no rule refuses more of them in one workload than
    in another: a plan of such a shape would be none, which the tests would see.
    """
    of = facts(MODELS[model] + CLUSTER + WORKLOADS["even"] + engine)
    return tuple(Families(space(of, frozenset(EXTRAS)), Judge("test", of).refusals, of.workload.batch).shapes())


@st.composite
def _stages(draw: st.DrawFn, whole: Space, shapes: tuple[ServiceShape, ...]) -> Stage:
    shape = draw(st.sampled_from(shapes))
    form = PoolForm.SHARED if shape.form is PoolForm.SHARED else PoolForm.BESIDE_STAGE
    alone = ServiceShape(1, 1, shape.attention, shape.experts, form, inner_dp=shape.inner_dp)
    options = draw(st.sampled_from(list(whole.stage_choices(alone, Phase.BOTH))))
    return ServicePlan(alone, options), draw(st.integers(1, 40))


def _bounds(bounds: LayerBounds, stages: list[Stage]) -> Picoseconds:
    """Bounds of each layer, shape (stages, phases, 4, layers)."""
    configs = [
        StageConfig(
            one.shape.attention, one.shape.experts, one.shape.form is not PoolForm.SHARED, one.shape.inner_dp > 1,
            one.options, one.phase is Phase.BOTH,
        )
        for one, _ in stages
    ]  # fmt: skip
    rows = [
        bounds.row(config, size, phase) for config, (_, size) in zip(configs, stages, strict=True) for phase in PHASES
    ]
    times = np.diff(bounds.times(rows))
    return times.reshape(len(stages), len(PHASES), *times.shape[1:])


def _priced(judge: Judge, stage: Stage) -> Iterator[PricedPhase]:
    """Both phases of one micro-batch of a stage."""
    service, size = stage
    plan = judge.plan(spell(Candidate((service,), size)), size)
    assert not isinstance(plan, Diagnostic)
    for phase in PHASES:
        (graph,) = lower_service(plan, phase)
        yield price(graph, plan)


def _lanes(priced: PricedPhase, team: int) -> Picoseconds:
    """What the lanes of a team are busy in each layer on the rank where it is most, shape (3, layers).

    Computation, communication, and both.
    """
    found: list[Picoseconds] = []
    for segment in priced.graph.programs[0][0].segments:
        nodes, costs = priced.graph.templates[segment.template].nodes, priced.costs[segment.template]
        lanes = {Lane.COMPUTE: np.zeros((1, 1), dtype=np.int64), Lane.COMMUNICATION: np.zeros((1, 1), dtype=np.int64)}
        for node, cost in zip(nodes, costs, strict=True):
            if node.team == team:
                lanes[node.op.lane] = lanes[node.op.lane] + np.atleast_2d(cost.duration)
        if segment.first_layer is not None:
            both = (*lanes.values(), lanes[Lane.COMPUTE] + lanes[Lane.COMMUNICATION])
            found.append(np.stack([np.broadcast_to(one.max(axis=1), segment.count) for one in both]))
    return np.concatenate(found, axis=1)


def _hold(judge: Judge, bounds: LayerBounds, stages: list[Stage]) -> None:
    for stage, bound in zip(stages, _bounds(bounds, stages), strict=True):
        for each, priced in zip(bound, _priced(judge, stage), strict=True):
            computed, communicated, both = _lanes(priced, 0)
            is_chain = len(priced.graph.teams) == 1 and _streams(priced) == 1
            makespan = schedule(priced).makespan
            assert (each >= 0).all()
            assert (each[BUSY] <= (both if is_chain else np.maximum(computed, communicated))).all(), stage
            assert (each[BESIDE] <= _lanes(priced, 1)[0]).all(), stage
            assert (each[TRAILING] <= communicated).all(), stage
            assert max(each[PATH].sum(), each[BUSY].sum()) <= makespan, stage


def _streams(priced: PricedPhase) -> int:
    return max(len(template.outputs) for template in priced.graph.templates)


def _check(model: str, data: st.DataObject) -> None:
    workload, engine = data.draw(st.sampled_from(sorted(WORKLOADS))), data.draw(st.sampled_from(ENGINES))
    judge, bounds, whole, shapes = _known(model, workload, engine)
    _hold(judge, bounds, data.draw(st.lists(_stages(whole, shapes), min_size=1, max_size=3)))


def _check_services(model: str, data: st.DataObject) -> None:
    """What TTFT and TPOT of services are at least is no more than their prices."""
    workload, engine = data.draw(st.sampled_from(sorted(WORKLOADS))), data.draw(st.sampled_from(ENGINES))
    judge, _, whole, shapes = _known(model, workload, engine)
    batch = judge.facts.workload.batch
    shape = data.draw(st.sampled_from(shapes))
    service = ServicePlan(shape, data.draw(st.sampled_from(list(whole.options(shape, Phase.BOTH, batch)))))
    figures = dict(judge.verdict(spell(Candidate((service,), batch)), batch).figures)
    bound = LowerBounds(judge.facts, judge.parts).seconds([(service, batch)])[:, 0]
    for least, name in zip(bound, ("ttft", "tpot"), strict=True):
        price = figures.get(name)
        assert price is None or least <= price * (1 + 1e-12), service


def test_an_expert_group_of_ranks_without_a_sequence_computes_nothing() -> None:
    """One sequence on four ranks of attention, the experts whole on each: three have nothing to do.

    What the mean group has, a stage that was asked for before has too, so that nothing is asked for by itself.
    """
    judge, bounds, *_ = _known("tiny", "even", "")
    for attention in (Degrees(tp=4), Degrees(dp=4)):
        _hold(judge, bounds, [(ServicePlan(ServiceShape(1, 1, attention)), 1)])


QUICK = ("linear", "latent", "tiny")
EACH_MODEL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


@pytest.mark.parametrize("model", EACH_MODEL)
@settings(max_examples=examples(2, 3), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_of_a_layer_is_above_its_operators(model: str, data: st.DataObject) -> None:
    """Path, busy ranks and busy pools: dense models and every mixer, routing, drafts, engines."""
    _check(model, data)


@pytest.mark.parametrize("model", EACH_MODEL)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_of_a_service_is_above_its_price(model: str, data: st.DataObject) -> None:
    """Stages, micro-batches and replicas, too."""
    _check_services(model, data)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_bound_of_many_layers_is_above_their_operators(model: str, data: st.DataObject) -> None:
    _check(model, data)
    _check_services(model, data)
