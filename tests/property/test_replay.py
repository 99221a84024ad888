"""Any legal plan, written as Chakra traces, is replayed to its end on every rank by ASTRA-sim's rules of matching.

Under both protocols: a send completes when its bytes have left (eager), or waits for its receive first (rendezvous).

Strategies are drawn from the whole language; what makes ranks unlike each other is drawn beside them: batches that do
not divide, skewed routing, redundant experts, a slowed rank, an engine's own order of ranks. Plans that dagc refuses,
or that an engine cannot run, have no traces; very wide ones are left out, for time.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dagc.driver.check import check
from dagc.export.chakra.traces import chakra_files
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced
from dagc.source import Source
from tests.harness.chakra import COLLECTIVE, COMP, read
from tests.harness.places import EXAMPLES
from tests.harness.replay import Replay, Ring
from tests.property.test_plan import LEGAL

MOST_RANKS = 24
REPLAYED = (
    "01-deepseek-v3-64-gpus", "02-mixtral-8-gpus", "04-prefill-decode-pools", "05-attention-ffn-pools",
    "06-uneven-remainders", "07-deepseek-v3-8-gpus-serving", "16-report-analysis-shapes", "22-verdict-summary",
    "23-verdict-analysis", "24-verdict-validation", "25-verdict-deployment",
)  # fmt: skip
"""Examples that have times, on 64 GPUs at most."""
CLUSTERS = st.sampled_from(["", " { slow 1 by 10 % }", " { slow 0 by 50 % }"])
ENGINES = st.sampled_from(["", "", "engine vllm\n", "engine sglang\n"])
MODELS = st.sampled_from([
    "mixtral-8x7b { layers 3 }", "deepseek-v3 { layers 4 }", "llama-3.1-70b { layers 3 }", "gpt-oss-120b { layers 4 }",
])  # fmt: skip
ROUTING = st.sampled_from(["uniform", "zipf 1"])


def traced(text: str) -> Traced | None:
    """What is exported of the one strategy of a plan; None where it has no times."""
    checked = check(Source("plan.moe", text)).checked
    if not checked:
        return None
    priced = checked[0].priced
    if priced.graph is None or priced.timelines is None:
        return None
    held = priced.assessment.memory.pools if priced.assessment.memory else ()
    return Traced(checked[0].plan, priced.graph, priced.timelines, priced.others, held)


def replayed(of: Traced) -> None:
    """Every rank ends, with sizes that a simulator neither skips nor divides down to nothing."""
    made, problems, _ = chakra_files(of)
    assert problems == ()
    held = {name: list(content) for name, content in made.items()}
    for phase in phase_names(of.graph):
        traces = read(held, phase)
        assert sorted(traces.ranks) == list(range(of.plan.deployment.gpus))
        assert all(len(members) > 1 for members in traces.groups.values())
        for nodes in traces.ranks.values():
            for node in nodes:
                told = node.attributes
                if node.type == COMP:
                    assert told["num_ops"] > 0
                elif node.type == COLLECTIVE:
                    parts = 1 if told["comm_type"] == 2 else len(traces.groups[told["pg_name"]])
                    assert told["comm_size"] >= parts
        for is_rendezvous in (False, True):
            assert Replay(traces, Ring(Fraction(500), Fraction(400)), is_rendezvous).run().stuck == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLAYED)
def test_every_rank_of_an_example_comes_to_its_end(name: str) -> None:
    of = traced((EXAMPLES / f"{name}.moe").read_text(encoding="utf-8"))
    assert of is not None
    replayed(of)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(LEGAL, MODELS, ENGINES, CLUSTERS, ROUTING, st.integers(1, 40), st.integers(1, 70))
def test_every_rank_of_a_legal_plan_comes_to_its_end(
    strategy: str, model: str, engine: str, cluster: str, routing: str, batch: int, prompt: int
) -> None:
    text = (
        f"model {model}\n{engine}cluster h100-sxm{cluster}\n"
        f"workload {{ batch {batch} prompt {prompt} output 3 routing {routing} }}\nstrategy a = {strategy}\n"
    )
    of = traced(text)
    assume(of is not None and of.plan.deployment.gpus <= MOST_RANKS)
    if of is not None:
        replayed(of)
