"""The picture of a search's front: what it names, where its lines are, and that its labels meet nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dagc.driver.search import SearchOptions, SearchOutcome, search
from dagc.export.front_svg import front_svg
from dagc.export.labels import labelled
from dagc.results.search_result import RequirementFigure
from dagc.source import Source
from tests.unit.search_plans import PLAN, STRATEGIES


@pytest.fixture(scope="module")
def pruned() -> SearchOutcome:
    text = PLAN + "require { tpot <= 30 ms }\n" + STRATEGIES
    return search(Source("plan.moe", text), (), Path(), SearchOptions(gpus=(1, 4)), lambda _: None)


def test_the_picture_is_xml_whatever_names_hold(pruned: SearchOutcome) -> None:
    result = pruned.result
    assert result
    hostile = replace(result, model="<script>&")
    marks = ElementTree.fromstring(front_svg(hostile)).iter("{http://www.w3.org/2000/svg}rect")
    assert sum(mark.get("class") == "best" for mark in marks) == 3, "in the plot, its legend and the key"


def test_the_picture_names_its_requirement_and_its_plans(pruned: SearchOutcome) -> None:
    """The line stands at its limit on the axis; the best plan has its name beside it; axes have three ticks or more."""
    assert pruned.result
    drawn = ElementTree.fromstring(front_svg(pruned.result))
    texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    best = pruned.result.front[0]
    assert f"1 {best.strategy}" in texts
    asked = [f"{one.name} {one.required}" for one in best.requirements]
    assert any(text.startswith("requirements of the best: ") and all(one in text for one in asked) for text in texts)
    lines = list(drawn.iter("{http://www.w3.org/2000/svg}line"))
    grid = [line for line in lines if line.get("class") == "grid"]
    assert sum(line.get("x1") == line.get("x2") for line in grid) > 2
    assert sum(line.get("y1") == line.get("y2") for line in grid) > 2


def test_a_requirement_is_a_line_at_its_value(pruned: SearchOutcome) -> None:
    """TPOT of 10, 20 and 30 ms between margins of 6 %: 30 ms is at 1.06 / 1.12 of the width."""
    assert pruned.result
    first = pruned.result.front[0]
    asked = RequirementFigure(
        name="tpot", required="<= 30 ms", figure="tpot", limit=0.03, actual=0.01, shown="10 ms", miss=0.0
    )
    plans = [
        replace(first, figures={"tpot": tpot, "throughput_per_gpu": tpot * 1e4}, requirements=[asked])
        for tpot in (0.01, 0.015, 0.02)
    ]
    drawn = front_svg(replace(pruned.result, front=plans, given=[], well_known=[]))
    line = next(
        one
        for one in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}line")
        if one.get("class") == "limit"
    )
    left, inner = 76, 860
    assert float(line.get("x1", "0")) == pytest.approx(left + inner * (0.06 + 1) / 1.12, abs=0.1)


def test_labels_of_points_meet_nothing() -> None:
    """Of five points close together, each has a label inside the frame that covers no point and no other label."""
    points = [(100.0 + 4 * i, 100.0 + 3 * i, f"{i}", f"strategy {i}") for i in range(5)]
    found = [one for one in labelled(points, range(5), (0, 0, 400, 200), [(0, 0, 400, 60)]) if one]
    boxes = [box for box, _ in found]
    assert len(boxes) == 5
    assert any(words == "0 strategy 0" for _, words in found)
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 60
        assert right <= 400 and bottom <= 200
        assert not any(left < x < right and top < y < bottom for x, y, _, _ in points)
        others = boxes[:index] + boxes[index + 1 :]
        assert all(right <= a or c <= left or bottom <= b or d <= top for a, b, c, d in others)
