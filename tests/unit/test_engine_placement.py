"""A named engine's order of ranks and split of layers, and what follows from them.

Ranks are written out by hand from each engine's own numbering: vLLM dp, pp, pcp, tp, innermost last; SGLang pp, then
attention's dp, cp, tp beside the experts' dp, ep, tp; TensorRT-LLM pp, cp, tp with the experts' tp outside ep.
"""

from __future__ import annotations

import numpy as np
import pytest

from dagc.degrees import AxisKind
from dagc.driver.check import check
from dagc.driver.outcome import Checked, Outcome
from dagc.engines.registry import engine_names, get_engine
from dagc.engines.runtime import LayerSplit
from dagc.ops.token_exchange import Dispatch
from dagc.plan.deployment import Deployment
from dagc.plan.placement import placed
from dagc.source import Source
from tests.unit.planning import deployment

FACTS = "model deepseek-v3\ncluster h100-sxm x 64\n"


def outcome(text: str) -> Outcome:
    return check(Source("plan.moe", text))


def checked(text: str) -> Checked:
    return outcome(text).checked[0]


def groups(text: str, engine: str, axis: AxisKind, stage: int = 0) -> list[list[int]]:
    """Expert-domain groups of a stage along an axis, as global ranks."""
    found = placed(deployment(text), get_engine(engine))
    service = found.services[0]
    pool = service.experts_pool
    assert pool.experts is not None
    return np.sort(found.global_ranks(service, pool, stage)[pool.experts.groups((axis,))]).tolist()


def test_vllm_numbers_dp_outside_the_stages() -> None:
    ranks = [rank for dp in range(8) for rank in (8 * dp, 8 * dp + 1)]
    assert groups("pp 4 < ep 16 ; tp 2 >", "vllm", AxisKind.EP) == [ranks]
    assert groups("pp 4 < ep 16 ; tp 2 >", "vllm", AxisKind.EP, stage=3) == [[rank + 6 for rank in ranks]]


def test_vllm_on_eight_ranks() -> None:
    assert groups("ep 8 ; tp 8", "vllm", AxisKind.EP) == [list(range(8))]


def test_sglang_numbers_the_experts_tp_inside_ep() -> None:
    text = "ep 2 < tp 4 > ; tp 8"
    assert groups(text, "sglang", AxisKind.EP) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert groups(text, "sglang", AxisKind.TP) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_tensorrt_numbers_ep_inside_the_experts_tp() -> None:
    text = "ep 4 < tp 2 > ; tp 8"
    assert groups(text, "trtllm", AxisKind.EP) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert groups(text, "trtllm", AxisKind.TP) == [[0, 4], [1, 5], [2, 6], [3, 7]]


@pytest.mark.parametrize("engine", engine_names())
@pytest.mark.parametrize(
    "text",
    [
        "dp 2 < pp 4 < ep 16 ; tp 2 > >",
        "pp 2 < cp 2 < dp 2 < tp 2 > > ; ep 8 >",
        "prefill < dp 2 < pp 2 < ep 4 > > > | decode < ep 8 ; tp 2 >",
        "pp 2 < tp 2 > | ep 4",
    ],
)
def test_every_gpu_has_one_number(engine: str, text: str) -> None:
    found: Deployment = placed(deployment(text), get_engine(engine))
    ranks = np.concatenate([found.all_ranks(service).reshape(-1) for service in found.services])
    assert sorted(ranks.tolist()) == list(range(found.gpus))


@pytest.mark.parametrize(
    ("engine", "split"),
    [("vllm", (15, 15, 16, 15)), ("sglang", (15, 15, 15, 16)), ("trtllm", (16, 15, 15, 15))],
)
def test_61_layers_over_4_stages(engine: str, split: tuple[int, ...]) -> None:
    assert get_engine(engine).runtime.layer_split.over_stages(61, 4) == split


def test_vllm_leaves_the_first_stage_out_too_where_it_can() -> None:
    """63 = 4 × 15 + 3: three of four stages, all but the last. 62: the two in the middle."""
    assert LayerSplit.BEFORE_LAST.over_stages(63, 4) == (16, 16, 16, 15)
    assert LayerSplit.BEFORE_LAST.over_stages(62, 4) == (15, 16, 16, 15)
    assert LayerSplit.BEFORE_LAST.over_stages(60, 4) == (15, 15, 15, 15)


def dispatch_nodes(found: Checked) -> set[int]:
    """Over how many nodes the dispatch of any stage goes."""
    assert found.priced.graph is not None
    nodes = (node for phase in found.priced.graph.phases for template in phase.templates for node in template.nodes)
    return {int(n.communication.groups.nodes.max()) for n in nodes if n.communication and isinstance(n.op, Dispatch)}


def test_the_numbers_decide_what_dispatch_costs() -> None:
    """16 consecutive ranks lie on 2 nodes of 8; two of every eight lie on 8. An all-to-all then has 1 of 16 peers
    inside the node in place of 7, so the network carries 14 parts in place of 8.
    """
    plain = checked(f"{FACTS}pp 4 < ep 16 ; tp 2 >")
    vllm = checked(f"{FACTS}engine vllm\npp 4 < ep 16 [exchange deepep] ; tp 2 >")
    assert dispatch_nodes(plain) == {2}
    assert dispatch_nodes(vllm) == {8}
    assert plain.priced.timelines is not None
    assert vllm.priced.timelines is not None
    assert vllm.priced.timelines[0].makespan > 1.2 * plain.priced.timelines[0].makespan


def test_work_and_memory_follow_the_engines_layers() -> None:
    """The head is on the last stage: its first rank is 3 × 2 in vLLM's first block of 8, 3 × 16 in SGLang."""
    for engine, split, rank in (("vllm", [15, 15, 16, 15], 6), ("sglang", [15, 15, 15, 16], 48)):
        found = checked(f"{FACTS}engine {engine}\npp 4 < ep 16 ; tp 2 >").priced
        assert found.graph is not None
        stages = found.graph.phases[0].programs[0]
        assert [sum(s.count for s in one.segments if s.first_layer is not None) for one in stages] == split
        assert found.assessment.memory is not None
        assert found.assessment.memory.pools[0].fullest_rank == rank


def test_a_written_split_stands() -> None:
    text = f"{FACTS}engine vllm\npp 4 [layers 16 15 15 15] < ep 16 ; tp 2 >"
    assert "W101" not in [d.code.code for d in outcome(text).diagnostics]
