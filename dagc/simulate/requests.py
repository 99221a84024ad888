"""Requests of a simulation: when each arrives, how long its prompt and its output are.

A closed loop is an open one whose requests all arrive at time 0, with a limit on how many are in flight. Draws come
from `numpy.random.RandomState`, whose stream is the same in every version of numpy (NEP 19).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.plan.workload import Workload

Times = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]

PICOSECONDS = 10**12

REQUESTS = 1000
"""Requests of a simulation whose plan states no number; of a closed loop ten for each in flight, if that is more."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of shape (requests,), in the order of arrival.

    `arrival` is in picoseconds and does not fall. `prompt` and `output` are in tokens, 1 at least; `hit` tokens of a
    prompt are in the prefix cache, fewer than all. At most `cap` requests are in flight; 0 is no limit.
    """

    arrival: Times
    prompt: Tokens
    output: Tokens
    hit: Tokens
    cap: int = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self.arrival)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Whole numbers of tokens between two bounds, both included, each as likely; equal bounds are a constant."""

    low: int
    high: int

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return (self.low + self.high) / 2

    def draw(self, random: np.random.RandomState, count: int) -> Tokens:
        """So many draws."""
        return random.randint(self.low, self.high + 1, count).astype(np.int32)


def arrivals(rate: float, burstiness: float, random: np.random.RandomState, count: int) -> Times:
    """Arrival times in picoseconds at `rate` requests a second: gaps are gamma distributed with shape `burstiness`.

    A burstiness of 1 is a Poisson process, less is burstier.
    """
    gaps = random.gamma(burstiness, 1 / (rate * burstiness), count)
    return np.cumsum(np.round(gaps * PICOSECONDS)).astype(np.int64)


def draw_requests(workload: Workload, count: int | None = None, seed: int | None = None) -> Requests:
    """Requests of a workload: `count`, else as many as it states, else all of its trace, else the default.

    The same for the same `seed`; None for that of the workload.

    A closed loop and a static batch have all of them at time 0. A trace is repeated where more are asked for than it
    has. Arrivals, prompts and outputs each have a stream of their own, so that one does not move with another.
    """
    many = count or workload.requests or _default(workload)
    cap = 0 if workload.is_open else workload.concurrency or workload.batch
    if workload.trace is not None:
        trace = workload.trace
        rows, turn = np.arange(many) % len(trace), np.arange(many) // len(trace)
        # Between the last request of a turn and the first of the next one, a mean gap.
        period = int(trace.arrival[-1]) + int(trace.arrival[-1]) // max(1, len(trace) - 1)
        arrival, prompt, output = trace.arrival[rows] + turn * period, trace.prompt[rows], trace.output[rows]
    else:
        streams = [
            np.random.RandomState([stream, workload.arrival_seed if seed is None else seed]) for stream in range(3)
        ]
        prompt, output = _lengths(workload, streams, many)
        rate = workload.requests_per_second
        arrival = np.zeros(many, np.int64) if rate is None else arrivals(rate, workload.burstiness, streams[0], many)
    hit = np.minimum((prompt * workload.cached).astype(np.int32), prompt - 1)
    return Requests(arrival, prompt, output, hit, cap)


def _default(workload: Workload) -> int:
    if workload.trace is not None:
        return len(workload.trace)
    if workload.concurrency is None:
        return workload.batch
    return REQUESTS if workload.is_open else max(REQUESTS, 10 * workload.concurrency)


def _lengths(workload: Workload, streams: list[np.random.RandomState], many: int) -> tuple[Tokens, Tokens]:
    """Prompts and outputs. Those of a file are drawn together, because they belong together."""
    if workload.lengths is not None:
        rows = streams[1].randint(0, len(workload.lengths), many)
        return workload.lengths.prompt[rows], workload.lengths.output[rows]
    prompt, output = (
        Lengths(*(bounds or (mean, mean))).draw(random, many)
        for bounds, mean, random in (
            (workload.prompt_range, workload.prompt, streams[1]),
            (workload.output_range, workload.output, streams[2]),
        )
    )
    return prompt, output
