"""Each invariant of a timeline, broken on purpose: the verifier names the one that is broken and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dagc import driver
from dagc.source import Source
from dagc.timeline.timeline import Run, Timeline
from dagc.timeline.verify import verify


def timeline() -> Timeline:
    """The prefill of a small plan: two stages, two micro-batches."""
    (checked,) = driver.check(Source("plan.moe", "model mixtral-8x7b\npp 2 [micro 2] < ep 2 ; tp 2 >")).checked
    assert checked.priced.timelines is not None
    return checked.priced.timelines[0]


def codes(broken: Timeline) -> set[str]:
    return {problem.code.code for problem in verify(broken)}


def at_once(run: Run) -> Run:
    """A run whose nodes all start when its first does."""
    first = run.starts[0][0]
    return replace(run, starts=(tuple(first for _ in run.starts[0]),), shift=0)


def test_a_schedule_has_nothing_to_say() -> None:
    assert verify(timeline()) == ()


def test_slots_that_overlap() -> None:
    whole = timeline()
    assert codes(replace(whole, runs=tuple(map(at_once, whole.runs)))) == {"V101"}


def test_a_makespan_that_no_order_of_the_nodes_has() -> None:
    """Below the longest node, and above the sum of all."""
    whole = replace(timeline(), path=())
    slowest = [[int(np.max(cost.duration)) for cost in costs] for costs in whole.priced.costs]
    longest = max(map(max, slowest))
    total = sum(run.count * sum(slowest[run.template]) for run in whole.runs)
    assert codes(replace(whole, makespan=longest - 1)) == {"V102"}
    assert codes(replace(whole, makespan=longest)) == set()
    assert codes(replace(whole, makespan=total)) == set()
    assert codes(replace(whole, makespan=total + 1)) == {"V102"}


def test_a_path_that_does_not_end_with_the_phase() -> None:
    whole = timeline()
    assert codes(replace(whole, makespan=whole.makespan - 1)) == {"V103"}
