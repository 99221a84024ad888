"""What prompts add to the decode steps of a request, from the time of one step that has some.

Of a wave (`dagc.plan.interleaving`) all prompts are computed in K steps before any decode, so that a request waits for
the steps behind its own.

Where ends come evenly, and `a` prompts of others come in each decode step of s seconds:

- mixed: so many steps have prompts as a Poisson number of parts of prompts is not 0, on the fullest rank; where
  prompts wait for those of other ranks, as many as `Interleaving` says;
- apart: a rank is busy with prompts for g seconds each. A decode step has to wait until none of the R ranks is, so that
  a step and the prompts before it take W seconds:

    s / W = (1 - a g / (W R))^R

  which for one rank is W = s + a g. Prompts that come while a step is computed are computed together in the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, lgamma, log, sqrt
from typing import NamedTuple

import numpy as np

from dagc.plan.interleaving import Interleaving, largest, some

_MANY = 100.0
"""From this mean on a Poisson number is taken as its mean."""

_ROUNDS = 60
"""Bisections: more than a double has digits."""


@dataclass(frozen=True, slots=True)
class PromptTimes:
    """Seconds of a decode step with all that is in it, of a step of one prompt, and of the step with prompts.

    `added` is what the latter adds to a decode step, or all of it where steps are apart. A step of prompts alone takes
    `launch` at least; a request enters `entry` after it was sent.
    """

    decode: float
    one: float
    added: float
    launch: float
    entry: float


class PromptSteps(NamedTuple):
    """Seconds that a step with prompts adds, and how many there are for each decode step."""

    added: float
    often: float


def prompt_steps(found: Interleaving, times: PromptTimes) -> PromptSteps:
    """The steps with prompts that delay a request."""
    if found.limits.mixes:
        return PromptSteps(times.added, _in_mixed_steps(found, times))
    return _in_waves(found, times) if found.in_waves else _apart(found, times)


def _in_waves(found: Interleaving, times: PromptTimes) -> PromptSteps:
    """The steps behind that of the own prompt; the last is not full."""
    edges = np.arange(1, found.held + 1, dtype=np.int64) * found.fresh
    last = -(-edges // found.tokens)
    count, full = int(last[-1]), max(times.launch, times.added)
    rest = edges[-1] / found.tokens - (count - 1)
    of_last = max(times.launch, rest * times.added) / full if full else 0.0
    behind = np.maximum(count - 1 - last, 0) + of_last * (last < count)
    return PromptSteps(full, float(behind.mean()) / found.decoding)


def _in_mixed_steps(found: Interleaving, times: PromptTimes) -> float:
    """Steps with prompts come as often as the fullest rank has parts of prompts, as many at once as the step has."""
    each = found.others * found.parts / found.ranks
    at_once = max(1, round(found.together))

    def often(whole: float) -> float:
        away = found.parts + times.entry / whole
        if found.gathers_prompts:
            parts = found.others * found.parts / (found.decoding + away)
            return min(1.0, found.prompt_steps_often(parts, at_once))
        return min(1.0, largest(each / (found.decoding + away), found.ranks) / at_once)

    return often(times.decode + often(times.decode) * times.added)


def _apart(found: Interleaving, times: PromptTimes) -> PromptSteps:
    """Prompts come evenly, and decode waits for them."""
    together, added = 1.0, max(times.launch, times.added)
    if found.together > 1:
        more = (times.added - times.one) / (found.together - 1)
        together, added = _together(
            found.parts_a_step, times, lambda count: max(times.launch, times.one + more * (count - 1))
        )
    each = found.parts * added / together

    def beyond(whole: float) -> float:
        """Seconds of `whole` in which no rank has a prompt, beyond those of a decode step; grows with `whole`."""
        prompts = found.others / (found.decoding + times.entry / whole)
        return whole * max(0.0, 1 - prompts * each / (whole * found.ranks)) ** found.ranks - times.decode

    often = (_root(beyond, times.decode) - times.decode) / added if added else 0.0
    return PromptSteps(added, often)


def _together(each: float, times: PromptTimes, seconds: Callable[[int], float]) -> tuple[float, float]:
    """Prompts of a step of prompts and its seconds, means, where `each` end in a decode step.

    The first step has the prompts of one decode step. While it was on its way others ended, whose prompts come while
    it is computed: together where it takes as long as entering does, else in several steps.
    """
    behind, steps = each * times.entry / times.decode, max(1.0, times.entry / seconds(1))
    first, later = _mean_seconds(each, seconds) / some(each), _mean_seconds(behind / steps, seconds)
    count = 1 + steps * some(behind / steps)
    return (each / some(each) + behind) / count, (first + steps * later) / count


def _mean_seconds(mean: float, seconds: Callable[[int], float]) -> float:
    """Mean seconds of a step with a Poisson number of prompts; 0 of none."""
    if not mean or mean > _MANY:
        return seconds(round(mean)) if mean else 0.0
    numbers = range(1, ceil(mean + 8 * sqrt(mean) + 8))
    return sum(exp(number * log(mean) - mean - lgamma(number + 1)) * seconds(number) for number in numbers)


def _root(function: Callable[[float], float], low: float) -> float:
    """Where a growing function is 0, above `low`, which is not 0."""
    high = 2 * low
    while function(high) < 0:
        low, high = high, 2 * high
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high
