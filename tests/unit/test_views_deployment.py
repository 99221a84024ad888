"""The deployment view: its nodes and GPUs, the critical path or what is marked in its place, chunked prefill."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dagc.export.views.critical import marked, slowest_of
from dagc.export.views.deployment import deployment_view
from dagc.export.views.draw import view_of
from dagc.export.views.gpus import every_gpu, folded_gpus, gpus_text
from dagc.export.views.legend import legend
from dagc.export.views.strategy import StrategyView
from dagc.export.views.view import Box, BoxShape, Distance, Gpus, View
from tests.harness.overlaps import complaints
from tests.harness.places import EXAMPLES
from tests.unit.view_scenes import scene, svg, words


def scenes_of(name: str) -> tuple[StrategyView, ...]:
    """All strategies of an example, each by itself."""
    text = (EXAMPLES / f"{name}.moe").read_text(encoding="utf-8")
    return tuple(scene(text, index) for index in range(text.count("\nstrategy") or 1))


def rows(view: View) -> dict[str, list[Gpus]]:
    """The rows of GPUs, by the first line of their card."""
    found = ((str(one.lines[0]), [line for line in one.lines if isinstance(line, Gpus)]) for one in view.boxes())
    return {name: lines for name, lines in found if lines}


def test_every_gpu_of_a_small_deployment_is_drawn_in_its_node() -> None:
    """64 GPUs in 8 nodes of 8; the card of stages 1 and 2 has the four nodes of both."""
    found = rows(deployment_view(scenes_of("01-deepseek-v3-64-gpus")[0]))
    assert sum(sum(row.own) for lines in found.values() for row in lines) == 64
    assert [row.text for row in found["stages 1–2, 2 alike"]] == [
        "stage 1, node 2: ranks 16-23",
        "stage 1, node 3: ranks 24-31",
        "stage 2, node 4: ranks 32-39",
        "stage 2, node 5: ranks 40-47",
    ]


def test_gpus_of_replicas_are_all_drawn_and_named_by_their_phase() -> None:
    """Three prefill replicas of a node each, and four nodes that decode."""
    view = deployment_view(scenes_of("04-prefill-decode-pools")[0])
    lines = [[line for line in one.lines if isinstance(line, Gpus)] for one in view.boxes()]
    assert [[(row.kind, sum(row.own)) for row in card] for card in lines] == [[("prefill", 8)] * 3, [("decode", 8)] * 4]
    assert lines[0][2].text == "replica 2, node 2: ranks 16-23"


def test_gpus_of_another_pool_in_the_node_are_hollow() -> None:
    """`tp 2 | ep 4` twice on nodes of 8: attention has ranks 0-1 and 6-7 of node 0, experts 2-5 and 8-11."""
    (_, of) = scenes_of("05-attention-ffn-pools")
    cards = [line for one in deployment_view(of).boxes() for line in one.lines if isinstance(line, Gpus)]
    found = {"".join("■" if own else "□" for own in row.own): (row.kind, row.text) for row in cards}
    assert found == {
        "■■□□□□□□": ("attention", "node 0: ranks 0-1"),
        "□□■■■■□□": ("experts", "node 0: ranks 2-5"),
        "□□□□□□■■": ("attention", "node 0: ranks 6-7"),
        "■■■■□□□□": ("experts", "node 1: ranks 8-11"),
    }


LARGE = "model deepseek-v3\ncluster h100-sxm x 2048\nworkload { batch 4096 prompt 1024 output 64 }\npp 8 < ep 256 >\n"


def test_nodes_of_a_large_deployment_are_folded_and_counted() -> None:
    """256 GPUs a stage are 32 nodes; stages 1 to 4 are alike."""
    found = rows(deployment_view(scene(LARGE)))
    assert [row.text for row in found["stages 1–4, 4 alike"]] == ["128 × node of 8 GPUs"]
    counted = sum(int(row.text.partition(" ×")[0]) * len(row.own) for lines in found.values() for row in lines)
    assert counted == 2048


def test_replicas_that_share_a_node_are_drawn_together() -> None:
    """40 replicas of half a node each are 20 whole nodes."""
    found = rows(deployment_view(scene("model mixtral-8x7b\ncluster h100-sxm x 160\ndp 40 < tp 4 >\n")))
    assert [gpus_text(row) for row in found["stage 0"]] == ["■■■■■■■■ 20 × node of 8 GPUs"]


def test_a_folded_node_that_is_used_in_part_says_so() -> None:
    """Ranks 4 to 19 are half a node, a whole one and half of the next one: two patterns that are not whole."""
    folded = list(folded_gpus(np.arange(4, 20, dtype=np.int64), "experts", 8))
    assert {gpus_text(row) for row in folded} == {
        "□□□□■■■■ 1 × node of 8 GPUs, 4 GPUs of it used",
        "■■■■□□□□ 1 × node of 8 GPUs, 4 GPUs of it used",
        "■■■■■■■■ 1 × node of 8 GPUs",
    }


def test_a_node_of_many_gpus_is_several_rows() -> None:
    """A rack of 72 in rows of 18; the first one has the name."""
    drawn = list(every_gpu([("", np.arange(72, dtype=np.int64))], "decode", 72))
    assert [len(row.own) for row in drawn] == [18] * 4
    assert [row.text for row in drawn] == ["node 0: ranks 0-71", "", "", ""]


def test_many_stages_are_drawn_below_each_other() -> None:
    """Eight stages of which no two neighbours are alike would be some 4,000 points wide; labels keep off the arrows."""
    of = scene("model mixtral-8x7b\ncluster h100-sxm x 8\npp 8 [layers 5 3 5 3 5 3 5 3]\n")
    view = view_of(of, Distance.DEPLOYMENT)
    assert not view.across
    picture = svg(view)
    assert complaints(picture) == []
    wide = re.search(r'viewBox="0 0 ([\d.]+)', picture)
    assert wide is not None and float(wide[1]) < 1000


ALL_ROLES = "prefill < tp 8 > | decode < pp 2 [layers 30 2] < tp 4 | ep 8 > >"
"""What needs the most signs: GPUs of a phase and of two pools of the other one, and a slowest stage."""


def test_the_legend_of_a_deployment_is_one_line() -> None:
    of = scene(f"model mixtral-8x7b\ncluster h100-sxm x 32\n{ALL_ROLES}\n")
    (signs,) = legend(view_of(of, Distance.DEPLOYMENT))
    named = [sign.meaning for sign in signs]
    assert named[:3] == ["prefill", "decode attention", "decode experts"]
    assert named[-1] == "slowest stage"
    for name in ("01-deepseek-v3-64-gpus", "02-mixtral-8-gpus", "04-prefill-decode-pools", "05-attention-ffn-pools"):
        for one in scenes_of(name):
            assert len(legend(view_of(one, Distance.DEPLOYMENT))) == 1, name


def test_where_all_is_on_the_critical_path_the_slowest_stage_is_marked() -> None:
    """Stages 1 and 2 have 15 MoE layers each, stage 0 has 13 and 3 dense ones; stage 3 has the head beside 15."""
    of = scenes_of("01-deepseek-v3-64-gpus")[0]
    for distance in (Distance.DEPLOYMENT, Distance.STAGE):
        view = view_of(of, distance)
        assert not any(one.critical for one in view.boxes())
        assert not any(one.critical for one in view.arrows)
        titles = [one.lines[0] for one in (*view.boxes(), *view.clusters()) if one.slowest]
        assert titles == ["stages 1–2, 2 alike", "stage 3"]
        (note,) = (line for line in view.notes if "critical path" in line)
        assert note.endswith("marked instead: stages 1–2 (slowest in prefill), stage 3 (slowest in decode)")


def test_experts_of_all_stages_are_marked_where_they_are_slowest() -> None:
    """`pp 2 < tp 2 > | ep 4`: decode is busy on the experts, prefill on the attention of two equal stages."""
    (of, _) = scenes_of("05-attention-ffn-pools")
    found = {one.phase: (one.stage, one.alike) for one in slowest_of(of)}
    assert found["decode"] == (-1, False)
    assert found["prefill"][1]
    (card,) = (one for one in view_of(of, Distance.DEPLOYMENT).boxes() if one.slowest)
    assert card.lines[0] == "experts of all stages"


def test_a_critical_path_that_leaves_things_out_is_drawn() -> None:
    """Four of five boxes are nearly all, three of five are not."""
    of = scenes_of("01-deepseek-v3-64-gpus")[0]

    def critical(number: int) -> list[bool]:
        boxes = tuple(Box(str(index), BoxShape.CARD, ("a",), critical=index < number) for index in range(5))
        return [box.critical for box in marked(View(Distance.LAYER, "n", (), (), boxes, ()), of).boxes()]

    assert sum(critical(3)) == 3
    assert sum(critical(4)) == 0


@pytest.mark.parametrize(("split", "slowest"), [("16 16", []), ("20 12", ["stage 0"])])
def test_stages_that_take_the_same_time_have_no_slowest(split: str, slowest: list[str]) -> None:
    """32 layers in equal halves: the embedding and the head are less than a hundredth of them."""
    of = scene(f"model mixtral-8x7b\ncluster h100-sxm x 8\npp 2 [layers {split}] < tp 4 >\n")
    view = view_of(of, Distance.DEPLOYMENT)
    assert [one.lines[0] for one in view.boxes() if one.slowest] == slowest
    (note,) = (line for line in view.notes if line.startswith("every stage is on the critical path"))
    assert note.endswith("marked instead: stage 0 (slowest in prefill and decode)" if slowest else "all equally slow")


def test_prompts_of_more_than_a_chunk_are_drawn_in_chunks_as_memory_has_them() -> None:
    """16 prompts of 4,096 tokens on each of 2 x 4 ranks of attention: 65,536 tokens, 8 chunks of 8,192."""
    view = deployment_view(scenes_of("04-prefill-decode-pools")[0])
    assert any(line.startswith("prefill: ") and "in 8 chunks" in line for one in view.boxes() for line in words(one))
    assert any("65,536 tokens per GPU and micro-batch in chunks of 8,192" in note for note in view.notes)
    assert not any("chunk" in note for note in deployment_view(scenes_of("01-deepseek-v3-64-gpus")[0]).notes)
