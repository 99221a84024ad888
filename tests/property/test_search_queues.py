"""Queues of a search of pairs: read in order they have rising seconds, and nothing is priced that need not be."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from dagc.search.candidate import ServicePlan, ServiceShape
from dagc.search.pairs import ServiceQueue

Known = tuple[float, float]
"""What is known of a service at first, and its price, which is no less."""


@st.composite
def _services(draw: st.DrawFn) -> list[Known]:
    made = st.builds(lambda a, b: (float(a), float(a + b)), st.integers(0, 9), st.integers(0, 3))
    return draw(st.lists(made, min_size=1, max_size=12))


def _queue(services: list[Known]) -> tuple[ServiceQueue, dict[ServicePlan, Known]]:
    """A queue of services that differ in their replicas, by which their price is known."""
    known = {ServicePlan(ServiceShape(1 + i, 1)): one for i, one in enumerate(services)}
    return ServiceQueue.of((service, bound) for service, (bound, _) in known.items()), known


def _read(queue: ServiceQueue, known: dict[ServicePlan, Known], place: int, priced: list[Known]) -> float | None:
    """The seconds at a place, for which services are priced one by one."""
    while (found := queue.at(place)) is not None and place == len(queue.settled):
        priced.append(known[found[0]])
        queue.learn(known[found[0]][1])
    return None if found is None else found[1]


@given(_services())
def test_a_queue_is_read_in_rising_order(services: list[Known]) -> None:
    """Whatever the bounds promised: the seconds come sorted, each once, and then no more."""
    queue, known = _queue(services)
    assert [_read(queue, known, place, []) for place in range(len(services))] == sorted(price for _, price in services)
    assert _read(queue, known, len(services), []) is None and queue.left == len(services)


@given(_services())
def test_the_first_place_needs_only_those_who_might_be_there(services: list[Known]) -> None:
    """A service whose bound is above the least seconds of all is not priced."""
    queue, known = _queue(services)
    priced: list[Known] = []
    least = _read(queue, known, 0, priced)
    assert all(bound <= (least or 0.0) for bound, _ in priced)


@given(_services(), st.data())
def test_what_does_not_fit_leaves_the_queue(services: list[Known], data: st.DataObject) -> None:
    """The rest are read as if it had never been there."""
    services = [(bound, inf if data.draw(st.booleans()) else price) for bound, price in services]
    queue, known = _queue(services)
    stays = sorted(price for _, price in services if price < inf)
    assert [_read(queue, known, place, []) for place in range(len(stays))] == stays
    assert _read(queue, known, len(stays), []) is None and queue.left == len(stays)
