"""What holds for every test: property tests try the same inputs each time, and no test is timed.

`--hypothesis-profile=thorough` tries more inputs, see `tests.harness.effort`. Tests of one process share step times of
simulations, but for those that may change the compiler by `monkeypatch`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import nullcontext

import pytest
from hypothesis import settings

from tests.harness.known_steps import shared_steps

settings.register_profile("dagc", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("thorough", settings.get_profile("dagc"), print_blob=True)
settings.load_profile("dagc")

# Processes that tests start need not compile each module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def own_step_times() -> None:
    """A test that asks for it shares no step times: one that compares two runs, say."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    is_apart = {"monkeypatch", "own_step_times"} & set(getattr(item, "fixturenames", ()))
    with nullcontext() if is_apart else shared_steps():
        return (yield)
