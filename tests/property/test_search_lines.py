"""Lines of a search of pairs: read place by place they give rising seconds, and nothing is refined that need not be."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from dagc.search.candidate import Attention, Experts, ServicePlan, Shape
from dagc.search.lines import Half, Level, Line

Known = tuple[float, float, float]
"""What is known of a service at each level: each bound is no more than the next, the last is what it takes."""


@st.composite
def _services(draw: st.DrawFn) -> list[Known]:
    steps = st.integers(0, 3)
    made = st.builds(lambda a, b, c: (float(a), float(a + b), float(a + b + c)), st.integers(0, 9), steps, steps)
    return draw(st.lists(made, min_size=1, max_size=12))


def _read(line: Line, known: dict[Half, Known], place: int, gone: Collection[Half] = ()) -> float | None:
    """The seconds at a place, for which services are refined level by level; some leave the line when they are seen."""
    while (half := line.at(place)) is not None and half.level is not Level.FINAL:
        level = Level(half.level + 1)
        if half in gone:
            line.drop(half)
        else:
            line.learn(half, known[half][level], level)
    return None if half is None else half.seconds


def _halves(services: list[Known]) -> dict[Half, Known]:
    plan = ServicePlan(Shape(1, 1, Attention(), Experts()))
    return {Half(plan, known[0]): known for known in services}


@given(_services())
def test_a_line_is_read_in_rising_order(services: list[Known]) -> None:
    """Whatever the bounds promised: the seconds come sorted, each once, and then no more."""
    known = _halves(services)
    line = Line.of(known)
    assert [_read(line, known, place) for place in range(len(services))] == sorted(final for *_, final in services)
    assert _read(line, known, len(services)) is None and line.left == len(services)


@given(_services())
def test_the_first_place_needs_only_those_who_might_stand_there(services: list[Known]) -> None:
    """Who has a bound above the least seconds of all is not worked out."""
    known = _halves(services)
    line = Line.of(known)
    least = _read(line, known, 0)
    assert all(half.level is Level.FIRST for half, (first, *_) in known.items() if first > (least or 0.0))


@given(_services(), st.data())
def test_who_leaves_a_line_is_read_no_more(services: list[Known], data: st.DataObject) -> None:
    """The rest are read as if it had never been there."""
    known = _halves(services)
    gone = {half for half in known if data.draw(st.booleans())}
    line = Line.of(known)
    stays = sorted(final for half, (*_, final) in known.items() if half not in gone)
    assert [_read(line, known, place, gone) for place in range(len(stays))] == stays
    assert _read(line, known, len(stays), gone) is None and line.left == len(stays)
