"""What holds for every test: property tests try the same inputs each time, and no test is timed.

`--hypothesis-profile=thorough` tries more inputs, see `tests.harness.effort`. Tests of one process share step times of
simulations, but for those that change the compiler by `monkeypatch`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext

import pytest
from hypothesis import settings

from tests.harness.known_steps import shared_steps

settings.register_profile("dagc", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("thorough", settings.get_profile("dagc"), print_blob=True)
settings.load_profile("dagc")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    changes = "monkeypatch" in getattr(item, "fixturenames", ())
    with nullcontext() if changes else shared_steps():
        return (yield)
