"""Scenes and pictures for the tests of the views."""

from __future__ import annotations

from functools import cache

from dagc.driver.check import check
from dagc.export.renderers import render
from dagc.export.views.dot import to_dot
from dagc.export.views.draw import view_of
from dagc.export.views.strategy import StrategyView
from dagc.export.views.svg import finished
from dagc.export.views.view import Box, Distance, View
from dagc.results.metrics import measure
from dagc.source import Source
from tests.unit.export_graphs import graph, plan, timelines


def small(name: str = "main", text: str = "pp 2 < ep 2 >") -> StrategyView:
    """The graph by hand (see `export_graphs`), under a strategy of this name and text."""
    built = graph()
    planned, times = plan(name, text), timelines(built)
    return StrategyView(planned, built, times, measure(planned, times))


@cache
def scene(text: str, index: int = 0) -> StrategyView:
    """The first strategy of a plan, or another one."""
    checked = check(Source("plan.moe", text)).checked[index]
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    return StrategyView(checked.plan, priced.graph, priced.timelines, priced.metrics, priced.assessment.memory)


def svg(view: View) -> str:
    """The finished picture."""
    drawing, problems = render(to_dot(view))
    assert problems == ()
    assert drawing is not None
    return finished(drawing, view).decode()


def drawn(of: StrategyView, distance: Distance) -> str:
    """The picture of a scene from a distance."""
    return svg(view_of(of, distance))


def box(view: View, first: str) -> Box:
    """The one box whose name begins so."""
    (found,) = (one for one in view.boxes() if one.lines and str(one.lines[0]).startswith(first))
    return found


def words(one: Box) -> list[str]:
    """Lines of a box that are text."""
    return [line for line in one.lines if isinstance(line, str)]
