"""What layers are taken to compute at least, before anything of a cut is priced, is never more than its least times."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagc.driver.computing import Computing
from dagc.driver.judging import Judge
from dagc.driver.pricing import Pricer
from dagc.plan.deployment import Phase
from dagc.schedule.lower_bound import BESIDE, BUSY, COMPUTING, PATH
from dagc.search.bounds import Asked, cut_of
from dagc.search.candidate import Attention, Experts, ServicePlan, Shape
from dagc.search.families import Families
from dagc.search.space import EXTRAS, Space
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
ENGINES = ("", "engine vllm\n", "engine sglang\n")


@cache
def _known(model: str, workload: str, engine: str) -> tuple[Judge, Computing, Space, tuple[Shape, ...]]:
    of = facts(MODELS[model] + CLUSTER + WORKLOADS[workload] + engine)
    judge, whole = Judge("test", Pricer(of)), space(of, frozenset(EXTRAS))
    computing = Computing(of, lambda asked: partial(judge.parts, asked))
    return judge, computing, whole, tuple(Families(whole, judge.refusals, of.workload.batch).shapes())


@st.composite
def _asked(draw: st.DrawFn, whole: Space, shapes: tuple[Shape, ...]) -> Asked:
    shape = draw(st.sampled_from(shapes))
    options = draw(st.sampled_from(list(whole.stage_choices(shape, Phase.BOTH))))
    return cut_of(ServicePlan(shape, options)), draw(st.integers(1, 40))


def _check(model: str, data: st.DataObject) -> None:
    workload, engine = data.draw(st.sampled_from(sorted(WORKLOADS))), data.draw(st.sampled_from(ENGINES))
    judge, computing, whole, shapes = _known(model, workload, engine)
    asked = data.draw(st.lists(_asked(whole, shapes), min_size=1, max_size=3))
    for first, precise, one in zip(computing.begin(asked)(), judge.least(asked), asked, strict=True):
        each, most = np.diff(first), np.diff(precise)
        assert (each >= 0).all()
        for row in (COMPUTING, BUSY, BESIDE):
            assert (each[:, row] <= most[:, row]).all(), (one, row)
        assert (each[:, PATH] == each[:, COMPUTING]).all()


def test_an_expert_group_of_ranks_without_a_sequence_computes_nothing() -> None:
    """One sequence on four ranks of attention, the experts whole on each: three have nothing to do.

    What the mean group has, a cut that was asked for before has too, so that nothing is asked for by itself.
    """
    judge, computing, *_ = _known("tiny", "even", "")
    before, asked = ((cut_of(ServicePlan(Shape(1, 1, one, Experts()))), 1) for one in (Attention(tp=4), Attention(4)))
    computing.begin([before])()
    first, precise = np.diff(computing.begin([asked])()[0]), np.diff(judge.least([asked])[0])
    assert (first[:, 1:] <= precise[:, 1:]).all()


QUICK = ("linear", "latent", "tiny")


@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_first_bound_is_above_a_precise_one(model: str, data: st.DataObject) -> None:
    """Path, busy ranks and busy pools, layer by layer: dense models and every mixer, routing, drafts, engines."""
    _check(model, data)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_first_bound_of_many_is_above_a_precise_one(model: str, data: st.DataObject) -> None:
    _check(model, data)
