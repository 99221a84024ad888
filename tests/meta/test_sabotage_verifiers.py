"""Every check of the verifiers can fail: with its body taken away, a test of broken graphs or timelines fails.

Checks are found by what they return, so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from dagc.graph import verify as graph_verify
from dagc.schedule import verify as timeline_verify
from tests.harness.expanded import calls, fails
from tests.unit import test_graph_verify, test_schedule_verify


def checks(module: ModuleType, returns: tuple[str, ...]) -> list[str]:
    """Functions of a module that return one of these."""
    own = [(name, one) for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__]
    return [name for name, one in own if getattr(one, "__annotations__", {}).get("return") in returns]


GRAPH = checks(graph_verify, ("Iterator[Diagnostic]", "Iterator[str]"))
TIMELINE = checks(timeline_verify, ("Iterator[str]", "str"))


def nothing(*_: object) -> Iterator[object]:
    """A check whose body was deleted."""
    yield from ()


def test_the_checks_are_found() -> None:
    assert len(GRAPH) >= 10
    assert set(TIMELINE) == {"_overlaps", "_makespan", "_path"}


def test_whole_verifiers_pass_their_tests() -> None:
    assert not any(fails(call) for module in (test_graph_verify, test_schedule_verify) for call in calls(module))


@pytest.mark.parametrize("name", GRAPH)
def test_without_its_body_a_check_of_graphs_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_verify, name, nothing)
    assert any(fails(call) for call in calls(test_graph_verify))


@pytest.mark.parametrize("name", TIMELINE)
def test_without_its_body_a_check_of_timelines_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_verify, name, nothing if name.endswith("overlaps") else lambda *_: "")
    assert any(fails(call) for call in calls(test_schedule_verify))
