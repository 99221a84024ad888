"""Deployment, stage and rank views: what they count, and what they fold. Numbers are worked out by hand."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from dagc.export.typesetting import item_lines, width
from dagc.export.views.deployment import deployment_view
from dagc.export.views.dot import CELLS, bar_text, to_dot
from dagc.export.views.draw import view_of
from dagc.export.views.legend import legend
from dagc.export.views.look import LOADS, load_tone
from dagc.export.views.rank import rank_view
from dagc.export.views.rank_rows import sections
from dagc.export.views.stage import MOST_STAGES, stage_view
from dagc.export.views.strategy import StrategyView, thinned
from dagc.export.views.view import Arrow, ArrowKind, Bar, Box, BoxShape, Distance, LoadTile, View
from dagc.graph.priced import Bound
from tests.harness.overlaps import complaints
from tests.harness.places import EXAMPLES
from tests.harness.shell import run_dagc
from tests.unit.view_scenes import box, scene, svg, words


def example(name: str) -> StrategyView:
    return scene((EXAMPLES / f"{name}.moe").read_text(encoding="utf-8"))


def arrow(view: View, label: str) -> Arrow:
    return next(one for one in view.arrows if one.label[:1] == (label,))


def test_a_stage_says_its_gpus_layers_and_both_domains() -> None:
    """61 layers over four stages are 16, 15, 15, 15; the first three of the model are dense. Nodes have 8 GPUs."""
    view = deployment_view(example("01-deepseek-v3-64-gpus"))
    first = words(box(view, "stage 0"))
    assert first[1:4] == [
        "16 GPUs: attention + experts",
        "layers 0–15: 3 dense, 13 MoE",
        "attention tp 2 × dp 8 · experts ep 16",
    ]
    assert "layers 46–60: 15 MoE" in words(box(view, "stage 3"))


def test_stages_that_are_alike_are_one_card_that_says_so() -> None:
    view = deployment_view(example("01-deepseek-v3-64-gpus"))
    card = box(view, "stages 1–2, 2 alike")
    assert card.folded
    assert "folded: stages 1–2, 2 alike" in view.notes


def test_traffic_between_stages_is_that_of_all_ranks() -> None:
    """A micro-batch has 32 sequences: 32 x 1024 tokens over dp 8, each 7168 values of 2 bytes, from 16 ranks.

    4096 x 14,336 x 16 = 939.5 MB; in decode 4 x 14,336 x 16 = 917.5 KB.
    """
    message = arrow(deployment_view(example("01-deepseek-v3-64-gpus")), "hidden states")
    assert message.label[1] == "over network, per micro-batch", "a stage is two whole nodes"
    assert [line.partition(",")[0] for line in message.label[2:]] == ["prefill: 940 MB", "decode: 918 KB"]


def test_the_cache_that_crosses_is_that_of_all_prompts() -> None:
    """2 x 4 heads x 128 x 2 bytes in each of 94 layers is 192,512 bytes a token; x 4096 tokens x 96 = 75.7 GB."""
    view = deployment_view(example("04-prefill-decode-pools"))
    assert arrow(view, "KV cache").label[1:3] == ("over network", "75.7 GB for 96 sequences")


def test_replicas_are_drawn_once_and_counted() -> None:
    view = deployment_view(example("04-prefill-decode-pools"))
    prefill, decode = (one for one in view.clusters() if one.name.endswith("service"))
    assert prefill.lines == ("prefill", "×3 replicas of 8 GPUs, figures of one")
    assert prefill.folded
    assert decode.lines == ("decode", "32 GPUs")
    assert "folded: prefill ×3 replicas, identical" in view.notes


def test_a_pool_of_experts_for_all_stages_is_one_card() -> None:
    view = deployment_view(example("05-attention-ffn-pools"))
    card = box(view, "experts of all stages")
    assert words(card)[1:3] == ["4 GPUs: experts", "experts ep 4"]
    assert sum(one.head == card.name for one in view.arrows) == 2, "one arrow from each stage"


def test_a_stage_has_its_layers_folded_with_their_time() -> None:
    """Thirteen layers; the time of one is a thirteenth of the time of all."""
    layers = box(stage_view(example("01-deepseek-v3-64-gpus")), "MoE layers 3–15, ×13")
    assert layers.folded
    told = next(line for line in words(layers) if line.startswith("prefill: "))
    whole, each = (float(part.split()[0]) for part in told.removeprefix("prefill: ").split(", "))
    assert whole == pytest.approx(13 * each, rel=0.01)


def test_what_a_stage_only_sends_is_a_chip() -> None:
    """Two lines, beside the five of an operator's card; its bytes and its bound are in the hover text."""
    chip = next(
        one for one in stage_view(example("01-deepseek-v3-64-gpus")).boxes() if one.lines[0] == "send hidden states"
    )
    assert chip.shape is BoxShape.CHIP
    assert len(words(chip)) == len(chip.lines) == 2
    assert any("sent per GPU" in line and "network-bound" in line for line in chip.hover)


def test_a_slowest_stage_that_has_no_frame_is_not_said_to_be_marked_here() -> None:
    """The pool of experts of all stages is a card of the deployment view alone."""
    view = view_of(example("05-attention-ffn-pools"), Distance.STAGE)
    assert not any(cluster.slowest for cluster in view.clusters())
    assert view.notes[-1].endswith("; marked in the deployment view: experts of all stages (slowest in decode)")


def test_an_arrow_between_stages_has_room_to_be_seen() -> None:
    """The frames of two stages stand 30 points apart."""
    picture = svg(stage_view(example("05-attention-ffn-pools")))
    frames = re.findall(r'<g id="main.stage.\d" class="cluster".*? d="(M[^"]+)"', picture, re.DOTALL)
    (_, right), (left, _) = ((min(xs), max(xs)) for xs in ([float(x) for x in _ABSCISSA.findall(d)] for d in frames))
    assert left - right == pytest.approx(30, abs=1)


_ABSCISSA = re.compile(r"(-?\d+(?:\.\d+)?),")


def test_shares_of_a_bar_are_those_in_words() -> None:
    layers = box(stage_view(example("01-deepseek-v3-64-gpus")), "MoE layers 3–15, ×13")
    bar = next(line for line in layers.lines if isinstance(line, Bar))
    assert sum(share for _, share in bar.parts) == pytest.approx(1.0)
    compute = dict(bar.parts)[Bound.COMPUTE]
    assert f"compute {100 * compute:.3g} %" in words(layers)[2]


def test_ranks_have_their_own_experts_and_uneven_loads() -> None:
    """128 experts over ep 6 are 22 or 21. Half of 120 x 1024 tokens choose 8 each, in each of two groups:

    491,520 pairs, of which 22/128 are 84,480 and 21/128 are 80,640.
    """
    of = example("06-uneven-remainders")
    (group,) = sections(of, of.served[0])
    assert group.title.startswith("expert group 0 of 2")
    (node,) = group.nodes
    gpus = [gpu for gpu in node.gpus if gpu]
    assert [gpu.experts for gpu in gpus[:3]] == ["0–21 (22)", "22–43 (22)", "44–64 (21)"]
    assert [gpu.loads[0].tokens for gpu in gpus] == pytest.approx([84_480.0] * 2 + [80_640.0] * 4)
    assert node.gpus[6:] == (None, None), "8 GPUs in a node, 6 in a group"


def test_ranks_with_equal_loads_are_one_row_and_the_slowest_is_first() -> None:
    of = example("06-uneven-remainders")
    (group,) = sections(of, of.served[0])
    assert [(row.ranks, row.count, row.experts) for row in group.rows] == [
        ("0-1, ×2", 2, "22 each"),
        ("2-5, ×4", 4, "21 each"),
    ]
    assert group.rows[0].loads[0].picoseconds > group.rows[1].loads[0].picoseconds


def test_heads_and_sequences_are_those_of_attention() -> None:
    """With tp 4, 32 heads are cut into eights, again and again; dp 3 cuts 120 sequences into forties."""
    of = example("06-uneven-remainders")
    (group,) = sections(of, of.served[0])
    gpus = [gpu for gpu in group.nodes[0].gpus if gpu]
    assert [gpu.heads for gpu in gpus] == ["0–7", "8–15", "16–23", "24–31", "0–7", "8–15"]
    assert {gpu.sequences for gpu in gpus} == {"40"}
    assert [gpu.place for gpu in gpus][4:] == ["tp 0, dp 1, ep 4", "tp 1, dp 1, ep 5"]


WIDE = "model deepseek-v3\ncluster h100-sxm x 256\nworkload {{ batch 2048 prompt 1024 output 64 {} }}\nep 256 ; tp 4\n"


def test_nodes_with_equal_loads_are_one_row_of_the_grid() -> None:
    """256 GPUs on 32 nodes: one row of 8 GPUs, and one row of 256 ranks."""
    view = rank_view(scene(WIDE.format("")))
    grid, table = (one for one in view.boxes() if one.shape is BoxShape.TABLE)
    assert [column.cells for column in (grid.columns[0], table.columns[0])] == [("nodes 0-31, ×32",), ("0-255, ×256",)]
    assert [column.head for column in grid.columns[1:]] == [f"GPU {gpu}" for gpu in range(8)]
    assert any("256 ranks in 1 row (×n), 32 nodes in 1 row" in note for note in view.notes)


def test_a_node_of_many_gpus_has_several_rows() -> None:
    """72 GPUs are six rows of twelve, the largest part of at most sixteen; heads count from the first of a row."""
    view = rank_view(scene("model qwen3-30b-a3b\ncluster gb200-nvl72 x 72\nep 72\n"))
    grid = next(one for one in view.boxes() if one.shape is BoxShape.TABLE)
    assert grid.columns[0].cells == tuple(f"node 0, GPUs {first}–{first + 11}" for first in range(0, 72, 12))
    assert [column.head for column in grid.columns[1:13]] == [f"+{gpu}" for gpu in range(12)]


def test_of_many_loads_the_slowest_and_the_fastest_are_listed_and_all_are_in_the_grid() -> None:
    """8 at the one end, 3 at the other, and one row for the 245 between; 32 nodes of 8, each phase by itself."""
    of = scene(WIDE.format("routing zipf 1"))
    (group,) = sections(of, of.served[0])
    assert [row.count for row in group.rows] == [1] * 8 + [245] + [1] * 3
    slowest = [row.loads[0].picoseconds for row in group.rows]
    assert all(a >= b for a, b in pairwise(slowest))
    view = rank_view(of)
    assert complaints(svg(view)) == []
    grid = next(one for one in view.boxes() if one.shape is BoxShape.TABLE)
    tiles = [cell for column in grid.columns for cell in column.cells if isinstance(cell, LoadTile)]
    assert len(tiles) == 2 * 256
    assert max(tile.share for tile in tiles) == 1.0


def test_a_cell_of_the_grid_has_the_tone_of_its_load_and_fills_its_cell() -> None:
    """Of the tones from 50, 70, 85 and 95 % on; rows are as straight as a table."""
    assert [load_tone(share) for share in (0.1, 0.5, 0.84, 0.85, 1.0)] == [LOADS[i] for i in (0, 1, 2, 3, 4)]
    picture = svg(rank_view(example("04-prefill-decode-pools")))
    cells = re.findall(rf'<rect x="\S+" y="(\S+)" width="\S+" height="(\S+)" fill="{LOADS[4]}"', picture)
    assert len({y for y, tall in cells if float(tall) > 12}) == 1 + 4, "one node of prefill, four of decode"
    assert "rank 24\ntp 0, dp 0, ep 0 · heads 0–15 · sequences 12 · experts 0–3 (4)" in picture


def test_too_many_stages_are_folded_in_the_middle() -> None:
    """Sixty stages that differ in turn: no two neighbours are alike, so all would be drawn."""
    split = " ".join("2 1" for _ in range(30))
    text = "model qwen3-30b-a3b { layers 90 }\ncluster h100-sxm x 60\nworkload { batch 64 prompt 64 output 2 }\n"
    view = stage_view(scene(f"{text}pp 60 [layers {split}]\n"))
    stages = [one for one in view.clusters() if one.lines[0].startswith("stage")]
    assert len(stages) == MOST_STAGES
    assert any(f"{60 - MOST_STAGES} different stages in the middle" in note for note in view.notes)


def test_what_is_thinned_keeps_both_ends_and_counts_the_rest() -> None:
    cut = thinned(range(10), 5)
    assert (cut.first, cut.last, cut.hidden) == ((0, 1, 2), (8, 9), 5)
    assert thinned(range(5), 5).first == (0, 1, 2, 3, 4)


def test_a_bar_in_text_has_one_length() -> None:
    """A half and a quarter of sixteen cells are eight and four."""
    assert bar_text(Bar(((Bound.COMPUTE, 0.5), (Bound.NETWORK, 0.25)))) == "████████▒▒▒▒▁▁▁▁"
    assert len(bar_text(Bar(tuple((bound, 1 / 3) for bound in list(Bound)[:3])))) == CELLS


def test_lines_of_a_list_end_between_its_items() -> None:
    """`b <= 20` has 7 letters and does not fit behind `a <= 1 · ` in 12; an item of 14 is broken itself."""
    assert item_lines("a <= 1 · b <= 20 · c", 12, 3) == ("a <= 1", "b <= 20 · c")
    assert item_lines("throughput <= 1 · b", 14, 3) == ("throughput <=", "1", "b")
    assert item_lines("a · b · c · d", 1, 3) == ("a", "b", "c…")


def test_widths_are_those_of_helvetica() -> None:
    """From Adobe's metrics: A 667, i 222, space 278 thousandths."""
    assert width("A i", 10) == pytest.approx(6.67 + 2.78 + 2.22)


def test_the_legend_has_what_is_drawn_and_nothing_else() -> None:
    boxes = (Box("a", BoxShape.CARD, ("a",), critical=True), Box("b", BoxShape.CARD, ("b",)))
    view = View(
        stage_view(example("01-deepseek-v3-64-gpus")).distance,
        "n",
        ("t",),
        (),
        boxes,
        (Arrow("a", "b", ArrowKind.DATA),),
    )
    assert [sample.meaning for line in legend(view) for sample in line] == ["critical path", "data"]
    assert "thick red: critical path" in to_dot(view)


def test_one_view_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    plan = str(EXAMPLES / "02-mixtral-8-gpus.moe")
    outcome = run_dagc("compile", plan, "--view", "stage", "-o", str(tmp_path), cwd=tmp_path)
    assert outcome.status == 0, outcome.output
    pictures = {path.name for path in tmp_path.rglob("*") if path.suffix in (".dot", ".svg")}
    assert pictures == {"stage.dot", "stage.svg", "memory.svg", "answer.svg"}


def test_an_unknown_view_is_a_usage_error(tmp_path: Path) -> None:
    plan = str(EXAMPLES / "02-mixtral-8-gpus.moe")
    outcome = run_dagc("compile", plan, "--view", "galaxy", "-o", str(tmp_path), cwd=tmp_path)
    assert outcome.status == 2
    assert "deployment" in outcome.output
    assert not list(tmp_path.iterdir())
