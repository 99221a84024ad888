"""Pictures of a simulated load: marks at percentiles, lines at limits, envelopes that lose no peak, texts that fit."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from dagc.export.load.distributions import SimulatedStrategy, distributions_svg
from dagc.export.load.plot import LoadLimit, load_limits
from dagc.export.load.queues import StepCurve, queues_svg, service_curves, step_curve
from dagc.export.load.sweep import SweptStrategy, sweep_svg
from dagc.results.load import Saturation, simulated_load
from dagc.results.simulation import StrategyUnderLoad, Sweep, SweepPoint
from dagc.simulate.load import LoadRun
from dagc.simulate.policy import Policy
from tests.harness.chromium import PROGRAM, overlapping, rectangles
from tests.harness.load_runs import MILLISECOND, load_run, requests
from tests.unit.planning import plan

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>&\u202e"
LIMITS = (
    LoadLimit("ttft", 99, 0.020, "ttft p99 <= 20 ms"),
    LoadLimit("ttft", 50, 5e-3, "ttft p50 <= 5 ms"),
    LoadLimit("tpot", 99, 1e9, "tpot p99 <= 1e9 s"),
)


def _run() -> LoadRun:
    """101 requests, 100 ms apart, with prompts of 1 to 101 tokens: TTFT is 2, 4 … 202 ms."""
    count = 101
    arrivals = [1000 * i for i in range(count)]
    return load_run("ep 8", requests(arrivals, list(range(1, count + 1)), [5] * count), [Policy()])


def _elements(svg: str, name: str, kind: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter(f"{SVG}{name}")
    return [one for one in found if kind in (one.get("class") or "").split()]


def _texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_percentiles_are_named_and_judged() -> None:
    """Of 2, 4 … 202 ms p50 is 102, p90 182, p99 200 ms; TPOT is always 1 ms, the end is 4 steps after the first."""
    texts = _texts(distributions_svg([SimulatedStrategy("main", "as given", _run(), LIMITS)]))
    assert "p50 102 ms   p90 182 ms   p99 200 ms" in texts
    assert "p50 1 ms   p90 1 ms   p99 1 ms" in texts
    assert "p50 106 ms   p90 186 ms   p99 204 ms" in texts
    assert "✗ ttft p99 <= 20 ms   ✗ ttft p50 <= 5 ms" in texts
    assert "✓ tpot p99 <= 1e9 s" in texts


def test_a_mark_is_at_its_percentile() -> None:
    """p50 is half way up the panel, whose labels are of 0 and 100 %; p90 a tenth below the top."""
    svg = distributions_svg([SimulatedStrategy("main", "as given", _run())])
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    heights = {one.text: float(one.get("y", "0")) - 4 for one in found if one.text in ("0 %", "100 %")}
    middle, tall = heights["0 %"], heights["0 %"] - heights["100 %"]
    circles = _elements(svg, "circle", "m0")
    assert float(circles[-1].get("cy", "0")) == pytest.approx(middle - tall / 2, abs=0.1)
    squares = _elements(svg, "rect", "m0")
    assert float(squares[-1].get("y", "0")) + 3.8 == pytest.approx(middle - 0.9 * tall, abs=0.1)


def test_the_curve_reaches_its_shares() -> None:
    """One value alone is a jump from 0 to 1."""
    run = load_run("ep 8", requests([0], [4], [3]), [Policy()])
    curve = _elements(distributions_svg([SimulatedStrategy("main", "as given", run)]), "path", "c0")[0]
    heights = [float(point.split()[1]) for point in (curve.get("d") or "")[1:].split("L")]
    assert len(set(heights)) == 2
    assert max(heights) - min(heights) == 190.0


def test_of_requests_of_one_token_nothing_is_drawn_between_tokens() -> None:
    run = load_run("ep 8", requests([0, 9], [4, 1], [1, 1]), [Policy()])
    assert (
        _texts(distributions_svg([SimulatedStrategy("main", "", run)])).count("no request has more than one token") == 2
    )


def test_requirements_on_percentiles_are_limits() -> None:
    text = "workload { batch 8 prompt 10 output 10 }\nrequire { tpot <= 1 s  ttft p99 <= 500 ms  gpus <= 9 }\n"
    found = load_limits(plan(f"{text}strategy main = ep 8").facts.requirements)
    assert found == (LoadLimit("ttft", 99, 0.5, "ttft p99 <= 500 ms"),)


def _swept(meets: tuple[bool | None, ...], over: str = "rate", strategy: str = "as given") -> StrategyUnderLoad:
    """TTFT of 10 ms, 20 ms … at loads of 1, 2 …; saturated at 2 more than the last."""
    points = [
        SweepPoint(
            load=float(i),
            requests_per_second=float(i),
            ttft_seconds={"p50": 0.005 * i, "p99": 0.01 * i},
            tpot_seconds={"p50": 0.002, "p99": None},
            met=one,
        )
        for i, one in enumerate(meets, 1)
    ]
    highest = max((point.load for point in points if point.met), default=None)
    sweep = Sweep(over="rate" if over == "rate" else "concurrency", highest=highest, points=points)
    saturation = Saturation(requests_per_second=len(meets) + 2.0, holds=True)
    load = simulated_load(_run(), "as given", 0, saturation, {})
    return StrategyUnderLoad(name="main", strategy=strategy, gpus=8, load=load, requirements=[], sweep=sweep)


def test_a_sweep_shows_what_meets_and_what_does_not() -> None:
    """Loads 1 to 5, saturated at 7: the axis ends at 7 · 1.04, and the highest that meets all is 3."""
    svg = sweep_svg([SweptStrategy(_swept((True, True, True, False, False)), LIMITS)])
    texts = _texts(svg)
    facts = "highest load that meets all requirements: 3 requests/s · saturated at 7 requests/s · 5 loads"
    assert facts in texts
    assert {"highest that meets all", "saturated", "misses one", "meets all requirements"} <= set(texts)
    # Three circles for p50 and p99 of TTFT, for p50 of TPOT, and one in the legend.
    assert len(_elements(svg, "circle", "met")) == 3 * 3 + 1
    uprights = [float(one.get("x1", "0")) for one in _elements(svg, "line", "mark")]
    left, wide = 16 + 56, 386
    assert uprights[:2] == pytest.approx([left + wide / 1.04, left + wide * 3 / 7 / 1.04], abs=0.1)


def test_a_limit_of_a_sweep_is_a_line_at_its_value() -> None:
    """p99 is at most 30 ms, so the axis ends at 31.8 ms and 20 ms is at 20 / 31.8 of its 220 pixels."""
    svg = sweep_svg([SweptStrategy(_swept((True,) * 3), (LIMITS[0],))])
    (limit,) = _elements(svg, "line", "limit")
    (axis, *_) = _elements(svg, "rect", "border")
    bottom = float(axis.get("y", "0")) + float(axis.get("height", "0"))
    assert bottom - float(limit.get("y1", "0")) == pytest.approx(220 * 20 / 31.8, abs=0.1)


def test_a_sweep_over_concurrency_has_no_saturated_rate() -> None:
    assert "saturated" not in _texts(sweep_svg([SweptStrategy(_swept((None, None), "concurrency"))]))


def test_a_part_of_time_keeps_its_smallest_and_its_largest_value() -> None:
    """Against a look at every picosecond."""
    random = np.random.RandomState(5)
    for _ in range(50):
        times = np.unique(random.randint(0, 60, random.randint(1, 12))).astype(np.int64)
        curve = StepCurve(times, random.randint(0, 9, len(times)).astype(np.int64))
        at = [int(curve.values[np.flatnonzero(times <= t)[-1]]) if (times <= t).any() else 0 for t in range(60)]
        count = int(random.randint(1, 61))
        low, high = curve.bins(0, 60, count)
        parts = [at[60 * i // count : 60 * (i + 1) // count] for i in range(count)]
        assert [(min(part), max(part)) for part in parts] == list(zip(low.tolist(), high.tolist(), strict=True))


def test_intervals_add_up() -> None:
    begin, end = np.array([0, 5, 5]), np.array([5, 9, 7])
    curve = step_curve(begin, end, np.array([3, 1, 4]))
    assert (curve.times.tolist(), curve.values.tolist()) == ([0, 5, 7, 9], [3, 5, 1, 0])


def test_the_queue_is_what_waits_and_the_cache_what_is_held() -> None:
    """Three requests at once, of which one runs at a time: 2 wait, then 1, then none.

    Each takes 2 ms and one step more, so 3 ms; a block is held while it runs, as at the end of each step.
    """
    run = load_run("ep 8", requests([0, 0, 0], [1, 1, 1], [2, 2, 2]), [Policy(most_running=1)])
    curves = service_curves(run, 0)
    waiting = dict(zip(curves["waiting"].times.tolist(), curves["waiting"].values.tolist(), strict=True))
    assert [waiting[at * MILLISECOND] for at in (0, 3, 6, 9)] == [2, 1, 0, 0]
    assert int(curves["blocks"].values.max()) == 1


def test_pictures_are_the_same_each_time_and_escape_names() -> None:
    named = SimulatedStrategy(HOSTILE, HOSTILE, _run(), LIMITS)
    for drawn in (
        lambda: distributions_svg([named]),
        lambda: queues_svg([named]),
        lambda: sweep_svg([SweptStrategy(_swept((True, None), strategy=HOSTILE), LIMITS)]),
    ):
        assert drawn() == drawn()
        assert "<script>" not in drawn()
        assert any(HOSTILE[:8] in one for one in _texts(drawn()))


@pytest.mark.skipif(PROGRAM is None, reason="no browser on this machine")
@pytest.mark.slow
def test_texts_do_not_overlap(tmp_path: Path) -> None:
    strategies = [
        SimulatedStrategy(f"strategy {i} " + "of a long name " * i, "as given", _run(), LIMITS) for i in range(7)
    ]
    pictures = (
        distributions_svg(strategies),
        queues_svg(strategies[:2]),
        sweep_svg(
            [SweptStrategy(_swept((True, True, False)), LIMITS), SweptStrategy(_swept((None,) * 9, "concurrency"))]
        ),
    )
    for number, svg in enumerate(pictures):
        (tmp_path / str(number)).mkdir()
        assert overlapping(rectangles(svg, tmp_path / str(number))) == []
