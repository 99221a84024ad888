"""Each invariant of a timeline, broken on purpose: the verifier names the one that is broken and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dagc.driver.check import check
from dagc.schedule.executor import PathPlaces
from dagc.schedule.recording import Recording
from dagc.schedule.timeline import Timeline
from dagc.schedule.verify import verify
from dagc.source import Source


def timeline() -> Timeline:
    """The prefill of a small plan: two stages, two micro-batches."""
    (checked,) = check(Source("plan.moe", "model mixtral-8x7b\npp 2 [micro 2] < ep 2 ; tp 2 >")).checked
    assert checked.priced.timelines is not None
    return checked.priced.timelines[0]


class Nothing:
    """A path without a place."""

    places = PathPlaces(*np.zeros((5, 0), dtype=np.int64))


NOTHING = Nothing()


def codes(broken: Timeline) -> set[str]:
    return {problem.code.code for problem in verify(broken)}


class AtOnce:
    """A recording in which all steps of a copy start when its first does."""

    def __init__(self, recording: Recording) -> None:
        self.program, self.templates, self.table = recording.program, recording.templates, recording.table
        self._recording = recording

    def steps_of(self, issues: Any, copies: range) -> Any:
        found = self._recording.steps_of(issues, copies)
        found[...] = found[:, :, :1]
        return found


def but(whole: Timeline, **values: Any) -> Timeline:
    """A timeline with other runs or another path."""
    changed = replace(whole)
    changed.__dict__.update(values)
    return changed


def test_a_schedule_has_nothing_to_say() -> None:
    assert verify(timeline()) == ()


def test_slots_that_overlap() -> None:
    whole = timeline()
    assert codes(but(whole, path=whole.path, first=AtOnce(whole.first))) == {"V101"}


def test_a_makespan_that_no_order_of_the_nodes_has() -> None:
    """Below the longest node, and above the sum of all."""
    whole = timeline()
    slowest = [[int(np.max(cost.duration)) for cost in costs] for costs in whole.priced.costs]
    longest = max(map(max, slowest))
    total = sum(run.count * sum(slowest[run.template]) for run in whole.runs)
    assert codes(but(replace(whole, makespan=longest - 1), path=NOTHING)) == {"V102"}
    assert codes(but(replace(whole, makespan=longest), path=NOTHING)) == set()
    assert codes(but(replace(whole, makespan=total), path=NOTHING)) == set()
    assert codes(but(replace(whole, makespan=total + 1), path=NOTHING)) == {"V102"}


def test_a_path_that_does_not_end_with_the_phase() -> None:
    whole = timeline()
    assert codes(replace(whole, makespan=whole.makespan - 1)) == {"V103"}
