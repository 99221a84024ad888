"""Runs of a simulation whose times are counted by hand: decode takes 1 ms, each token of a step with prompts 2 ms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagc.simulate.kernel import Simulation
from dagc.simulate.load import LoadRun
from dagc.simulate.policy import Policy
from dagc.simulate.requests import Requests
from tests.harness.step_times import Tables
from tests.unit.planning import deployment

MILLISECOND = 10**9
"""In picoseconds."""


def tables() -> Tables:
    """Step times of one service."""
    return Tables(
        fullness=np.array([1.0]),
        sequences=np.array([0.0]),
        prompts=np.array([0.0, 1.0]),
        contexts=np.array([0.0]),
        base=1,
        step=0,
        starts=(0,),
        slopes=(0,),
        terms=(((1,), (0, 2), (1,), (1,)),),
        unit_time=MILLISECOND,
    )


def requests(arrival_ms: Sequence[int], prompt: Sequence[int], output: Sequence[int], cap: int = 0) -> Requests:
    """Requests without a cached prefix."""
    tokens, outputs, hits = (np.array(column, dtype=np.int32) for column in (prompt, output, [0] * len(prompt)))
    return Requests(np.array(arrival_ms, dtype=np.int64) * MILLISECOND, tokens, outputs, hits, cap)


def load_run(
    strategy: str, made: Requests, policies: Sequence[Policy], counted: tuple[int, int] | None = None
) -> LoadRun:
    """All requests to their ends, on the services of a strategy, of which only the names are used."""
    services = deployment(f"strategy main = {strategy}").services
    assert len(services) == len(policies)
    done = Simulation(made, policies, [tables() for _ in policies], keeps_runs=True).run()
    return LoadRun(services, tuple(policies), made, done, (counted or (0, len(made)),))
