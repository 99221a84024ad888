"""What holds for the readings of every flat notation."""

from __future__ import annotations

from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.degrees import AxisKind
from dagc.driver.read import read
from dagc.notation.readings import Reading, Readings, sizes_of
from dagc.plan.layout import Layout
from dagc.source import Source
from tests.unit.planning import deployment

AXES = ["dp", "pp", "ep", "tp", "cp", "etp"]
NOTATIONS = st.dictionaries(st.sampled_from(AXES), st.sampled_from([1, 2, 3, 4, 8]), min_size=1)
QUICK = settings(max_examples=60, deadline=None)


def text(degrees: dict[str, int]) -> str:
    return ", ".join(f"{axis} {degree}" for axis, degree in degrees.items())


def readings(notation: str) -> Readings | None:
    found, diagnostics = read(Source("TEXT", notation))
    # `etp` alone and the like: no strategy has the degree and keeps what it says.
    assert (found is None) == bool(diagnostics)
    return found


def groups(layout: Layout) -> list[list[tuple[int, ...]]]:
    """The groups of every axis, as sets of ranks in order: another way to compare layouts than by their factors."""
    return [sorted(tuple(sorted(row)) for row in layout.groups((kind,)).tolist()) for kind in AxisKind]


def meaning(reading: Reading) -> object:
    pool = reading.deployment.services[0].pools[0]
    assert pool.attention is not None and pool.experts is not None
    return reading.sizes, groups(pool.attention), groups(pool.experts)


@QUICK
@given(NOTATIONS)
def test_a_reading_is_a_legal_strategy_of_its_size(degrees: dict[str, int]) -> None:
    found = readings(text(degrees))
    for reading in found.readings if found else ():
        written = deployment(reading.strategy)
        assert written.gpus == reading.gpus == reading.sizes.gpus
        assert sizes_of(written) == reading.sizes


@QUICK
@given(NOTATIONS)
def test_no_two_readings_mean_the_same(degrees: dict[str, int]) -> None:
    found = readings(text(degrees))
    meanings = [meaning(reading) for reading in found.readings] if found else []
    assert all(one != other for n, one in enumerate(meanings) for other in meanings[:n])


@QUICK
@given(NOTATIONS)
def test_what_an_engine_counts_is_a_reading(degrees: dict[str, int]) -> None:
    found = readings(text(degrees))
    for engine, counted in found.counts.items() if found else ():
        number = found.of_engine(engine) if found else None
        assert (number is None) == (counted.world is None)
        if found and number is not None:
            assert found.readings[number - 1].gpus == counted.world


@QUICK
@given(NOTATIONS)
def test_the_order_of_the_degrees_does_not_matter(degrees: dict[str, int]) -> None:
    first, second = readings(text(degrees)), readings(text(dict(reversed(degrees.items()))))
    assert (first is None) == (second is None)
    if first and second:
        assert [(r.strategy, r.assumes) for r in first.readings] == [(r.strategy, r.assumes) for r in second.readings]


@QUICK
@given(st.fixed_dictionaries({axis: st.sampled_from([2, 3, 4]) for axis in ("dp", "pp", "ep", "tp")}))
def test_everything_nested_has_the_naive_product(degrees: dict[str, int]) -> None:
    found = readings(text(degrees))
    assert found is not None
    product = prod(degrees.values())
    nested = "dp {dp} < pp {pp} < ep {ep} < tp {tp} > > >".format(**degrees)
    assert found.product == product
    assert [reading.gpus for reading in found.readings if reading.strategy == nested] == [product]
