"""Every legal shape of a deployment lowers to a graph that the verifier accepts, whatever divides or does not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dagc.catalog.model import ModelSpec
from dagc.graph.text import to_text
from dagc.graph.verify import verify, verify_layers
from dagc.lower.lower import lower
from dagc.plan.deployment import Options, Phase, Service
from dagc.plan.layout import Layout
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DEEPSEEK_V3, DEMO, DEMO_EXPERTS, DENSE, GQA, layout, plan, service

SHARED = replace(
    DEMO, name="shared", experts=replace(DEMO_EXPERTS, shared_ffn=2048, shared_gate=True), moe_every=2, dense_ffn=512
)
WINDOWED = replace(DEMO, name="windowed", attention=replace(GQA, window=16, window_every=2))

MODELS = st.sampled_from([DEEPSEEK_V3, DEMO, SHARED, WINDOWED, DENSE])
DEGREES = st.sampled_from([1, 2, 3, 4])
POWERS = st.sampled_from([1, 2, 4])


@st.composite
def options(draw: st.DrawFn, tp: int) -> Options:
    return Options(
        micro=draw(st.none() | st.integers(1, 5)),
        redundant=draw(st.integers(0, 3)),
        overlap=draw(st.sampled_from([1, 2])),
        sequence_parallel=tp > 1 and draw(st.booleans()),
        decode_context=draw(st.sampled_from([d for d in (1, 2, 4) if d <= tp])),
        shared_replicated=draw(st.booleans()),
    )


@st.composite
def services(draw: st.DrawFn, model: ModelSpec, phase: Phase = Phase.BOTH, first_rank: int = 0) -> Service:
    dp, cp, tp = draw(DEGREES), draw(POWERS), draw(POWERS)
    ep, expert_tp = draw(DEGREES), draw(POWERS)
    stages = draw(st.integers(1, 3))
    pool_stages = 0 if model.is_dense else draw(st.sampled_from([0, 0, 1, stages]))
    attention = layout(dp=dp, cp=cp, tp=tp)
    experts: Layout | None = layout(ep=ep, tp=expert_tp)
    if model.is_dense:
        experts = None
    elif not pool_stages:
        inside = ep * expert_tp
        times = inside // _gcd(attention.size, inside)
        attention = layout(dp=dp * times, cp=cp, tp=tp)
        experts = layout(dp=attention.size // inside, ep=ep, tp=expert_tp)
    return service(
        attention, experts, stages, phase=phase, options=draw(options(tp)), first_rank=first_rank,
        pool_stages=pool_stages, replicas=draw(st.integers(1, 3)),
    )  # fmt: skip


def _gcd(one: int, other: int) -> int:
    while other:
        one, other = other, one % other
    return one


WORKLOADS = st.builds(Workload, st.integers(1, 40), st.integers(1, 70), st.integers(1, 9))


@given(st.data(), MODELS, WORKLOADS)
def test_one_service(data: st.DataObject, model: ModelSpec, workload: Workload) -> None:
    graph = lower(plan(data.draw(services(model)), model=model, workload=workload, node=4))
    assert verify(graph) == ()
    assert verify_layers(graph, model.layers or 0) == ()
    assert to_text(graph).endswith("\n")


@given(st.data(), MODELS, WORKLOADS)
def test_prefill_beside_decode(data: st.DataObject, model: ModelSpec, workload: Workload) -> None:
    prefill = data.draw(services(model, Phase.PREFILL))
    first = prefill.replicas * prefill.gpus_per_replica
    decode = data.draw(services(model, Phase.DECODE, first))
    graph = lower(plan(prefill, decode, model=model, workload=workload, node=4))
    assert verify(graph) == ()
    assert graph.handover is not None


@given(st.data(), MODELS, WORKLOADS)
def test_keys_are_unique_and_every_node_has_a_place(data: st.DataObject, model: ModelSpec, workload: Workload) -> None:
    graph = lower(plan(data.draw(services(model)), model=model, workload=workload, node=4))
    for phase in graph.phases:
        assert len({t.key for t in phase.templates}) == len(phase.templates)
        for template in phase.templates:
            assert len({n.key for n in template.nodes}) == len(template.nodes)
            assert all(n.span is not None for n in template.nodes)
