"""A sample of the recorded plans has the recorded digests; `python -m tests.gates` compares all."""

from __future__ import annotations

import pytest

from tests.gates import digests


def test_a_changed_output_is_found() -> None:
    before = {"a": {"check": "1", "graph.json": "2"}, "b": {"check": "3"}}
    assert digests.differences(before, before) == {}
    after = {"a": {"check": "1", "graph.json": "9"}, "b": {}, "c": {"check": "4"}}
    assert digests.differences(before, after) == {"check": ["b"], "graph.json": ["a"]}


@pytest.mark.slow
def test_outputs_are_those_that_are_recorded() -> None:
    plans = digests.plans()
    sample = {name: plans[name] for name in list(plans)[::40]}
    assert digests.differences(digests.read(), dict(digests.rows(sample, workers=2))) == {}
