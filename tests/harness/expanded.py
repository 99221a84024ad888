"""The tests of a module as plain calls, one for each set of parameters: to run them inside another test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType


def calls(module: ModuleType) -> Iterator[Callable[[], None]]:
    """Every test function with every set of parameters of its one `parametrize` mark; none may take a fixture."""
    for name, test in vars(module).items():
        if name.startswith("test_"):
            marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
            yield from (partial(test, *values) for values in _values(*marks[0].args)) if marks else (test,)


def _values(names: str | tuple[str, ...], sets: list[object]) -> Iterator[tuple[object, ...]]:
    is_one = isinstance(names, str) and "," not in names
    for one in sets:
        yield (one,) if is_one else tuple(one)  # pyright: ignore[reportArgumentType]


def fails(call: Callable[[], object]) -> bool:
    """Whether a test fails, by an assertion or any other way."""
    try:
        call()
    except Exception:
        return True
    return False
