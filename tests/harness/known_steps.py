"""Step times that tests of one process leave for one another.

Most of the time of a simulation goes into pricing single steps, and many tests simulate the same few deployments.
Steps are shared between plans of equal content: all that the deployment and the facts say, but for places in the text,
requirements, claims, and how requests are drawn. A test that changes something of the compiler has its own: see
`tests/conftest.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from dagc.lower.batch import StepLoad
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.simulate import graph_times
from dagc.simulate.priced_steps import PricedSteps, StepTime
from dagc.source import Span

_LEFT_OUT = {"requirements", "claims", "requests", "warmup", "burstiness", "arrival_seed"}
_MOST = 64
"""Services whose steps are kept, those that were last asked for."""

Steps = dict[tuple[int, StepLoad], tuple[StepTime, int]]
_known: dict[object, Steps] = {}


class SharedSteps(PricedSteps):
    """The steps of one service of a plan; those of an equal one are taken from it, and counted as if priced."""

    shared: Steps

    def __init__(self, plan: Plan, service: Service) -> None:
        super().__init__(plan, service)
        key = content((plan, service))
        if len(_known) >= _MOST:
            del _known[next(iter(_known))]
        self.shared = _known[key] = _known.pop(key, {})

    def step(self, sequences: int, load: StepLoad) -> StepTime:
        key = sequences, load
        if key not in self._found:
            if key not in self.shared:
                before = self.priced
                self.shared[key] = super().step(sequences, load), self.priced - before
            else:
                self._found[key], priced = self.shared[key]
                self.priced += priced
        return self._found[key]


def content(value: Any) -> object:
    """What a value says, hashable: the fields of records, but for places in a text."""
    if isinstance(value, Span) or value is None:
        return None
    if is_dataclass(value):
        named = (one.name for one in fields(value) if one.name not in _LEFT_OUT)
        return type(value).__name__, *(content(getattr(value, name)) for name in named)
    if isinstance(value, list | tuple):
        return tuple(map(content, value))
    if isinstance(value, dict):
        return tuple((content(key), content(one)) for key, one in value.items())
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    hash(value)
    return value


@contextmanager
def shared_steps() -> Generator[None]:
    """Simulations share step times."""
    with patch.object(graph_times, "PricedSteps", SharedSteps):
        yield
