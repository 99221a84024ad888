"""A run of a simulation over time: queue length, running sequences and use of the cache of each service.

Each is a step curve over all replicas of the service. Of a run of more steps than `BINS` the curve is the band between
the smallest and the largest value of each of so many equal parts of time, so that no peak is lost. What is shaded is
before the first and after the last request that is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.load.distributions import SimulatedStrategy
from dagc.export.load.plot import MARGIN, STYLE, WIDE, Plot, time_text
from dagc.export.svg_text import LINE, PlotAxis, dark, headed, picture, text
from dagc.graph.priced import PICOSECONDS
from dagc.simulate.load import LoadRun
from dagc.units import format_count

BINS = 600
"""Parts of the time that are drawn."""

_LEFT, _PLOT_TALL, _GAP = 60.0, 74.0, 30.0
_PLOT_WIDE = WIDE - 2 * MARGIN - _LEFT - 8

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepCurve:
    """A value from each of `times` (picoseconds, ascending) on; 0 before the first."""

    times: Numbers
    values: Numbers

    def bins(self, begin: int, end: int, count: int) -> tuple[Numbers, Numbers]:
        """Smallest and largest value in each of so many equal parts of [begin, end)."""
        edges = begin + (end - begin) * np.arange(count + 1) // count
        values = np.concatenate([[0], self.values, [0]])
        # Index 0 is the value before the first time; a part begins with the value that holds there.
        first = np.searchsorted(self.times, edges[:-1], side="right")
        past = np.maximum(np.searchsorted(self.times, edges[1:], side="left") + 1, first + 1)
        pairs = np.column_stack([first, past]).ravel()
        return np.minimum.reduceat(values, pairs)[::2], np.maximum.reduceat(values, pairs)[::2]


def step_curve(begin: Numbers, end: Numbers, values: Numbers) -> StepCurve:
    """The sum of values that each hold in [begin, end)."""
    times = np.concatenate([begin, end])
    order = np.argsort(times, kind="stable")
    times, total = times[order], np.cumsum(np.concatenate([values, -values])[order])
    is_last = np.append(times[1:] != times[:-1], True) if len(times) else np.empty(0, dtype=np.bool_)
    return StepCurve(times[is_last], total[is_last])


@dataclass(frozen=True, slots=True)
class _Series:
    """A curve, what it is called, how its axis ends and is written. Values are divided by `unit`."""

    title: str
    curve: StepCurve
    write: Callable[[float], str]
    unit: float = 1.0
    high: float | None = None


def queues_svg(strategies: Sequence[SimulatedStrategy]) -> str:
    """The picture of one strategy, or of several below each other."""
    lines = list[str]()
    y = draw_queues(lines, MARGIN, strategies)
    return picture("Queue, batch and cache over time", WIDE, y, STYLE + QUEUE_STYLE, lines)


def draw_queues(lines: list[str], y: float, strategies: Sequence[SimulatedStrategy]) -> float:
    """Panels of each strategy from y on, in pixels, in `QUEUE_STYLE` beside that of all plots; their lower end."""
    for one in strategies:
        begun = f" · begun {len(one.run.sections)} times" if len(one.run.sections) > 1 else ""
        context = [f"{one.arrivals}{begun} · all replicas of a service together · shaded: not counted"]
        y = headed(lines, MARGIN, y, WIDE - 2 * MARGIN, f"Queue, batch and cache over time: {one.name}", context)
        for service in range(len(one.run.services)):
            y = _service(lines, y, one.run, service)
    return y


def service_curves(run: LoadRun, service: int) -> dict[str, StepCurve]:
    """Waiting and running sequences, prompt tokens of the step, blocks of cache of one service over time.

    A run of steps has its figures while it lasts; blocks stay until the next run of the replica.
    """
    rows = run.simulated.runs
    rows = rows[rows[:, 3] >> 32 == service]
    rows = rows[np.lexsort((rows[:, 0], rows[:, 3]))]
    begin, end = rows[:, 0], rows[:, 1]
    last = int(run.simulated.last.max())
    held = np.append(np.where(rows[1:, 3] == rows[:-1, 3], rows[1:, 0], last), last)[: len(rows)]
    return {
        "waiting": step_curve(begin, end, rows[:, 6]),
        "running": step_curve(begin, end, rows[:, 4]),
        "prompt": step_curve(begin, end, rows[:, 5]),
        "blocks": step_curve(begin, np.maximum(held, end), rows[:, 7]),
    }


def _service(lines: list[str], y: float, run: LoadRun, service: int) -> float:
    policy, curves = run.policies[service], service_curves(run, service)
    capacity = policy.blocks * policy.ranks * policy.replicas
    if len(run.services) > 1:
        lines.append(text(MARGIN, y + 12, "title", str(run.services[service].phase)))
        y += 18
    # Prefill alone has no sequences that decode.
    is_decoding = bool(curves["running"].values.any())
    batch = ("running sequences", "running") if is_decoding else ("prompt tokens of a step", "prompt")
    for series in (
        _Series("queue length", curves["waiting"], format_count),
        _Series(batch[0], curves[batch[1]], format_count),
        _Series("share of cache in use", curves["blocks"], lambda share: f"{share * 100:g} %", capacity, 1.0),
    ):
        y = _panel(lines, y, run, series)
    return y + LINE


def _panel(lines: list[str], y: float, run: LoadRun, series: _Series) -> float:
    begin, end = 0, max(1, int(run.simulated.last.max()))
    low, high = (part / series.unit for part in series.curve.bins(begin, end, BINS))
    most = series.high or max(1.0, float(high.max()) * 1.05)
    lines.append(text(MARGIN + _LEFT, y + 12, "small", series.title))
    across = PlotAxis(0.0, end / PICOSECONDS, _PLOT_WIDE)
    plot = Plot(MARGIN + _LEFT, y + 18, across, PlotAxis(0.0, most, _PLOT_TALL))
    for left, right in _uncounted(run, end):
        x, wide = plot.x(left), plot.x(right) - plot.x(left)
        lines.append(f'<rect class="uncounted" x="{x:g}" y="{plot.top:g}" width="{wide:.1f}" height="{_PLOT_TALL:g}"/>')
    ticks = (0.0, 0.5, 1.0) if series.high else tuple(one for one in plot.up.ticks(4) if one == int(one))
    lines += plot.frame(time_text, series.write, ticks)
    lines.append(f'<path class="band" d="{_band(plot, low, high)}"/>')
    return plot.bottom + _GAP


def _uncounted(run: LoadRun, end: int) -> list[tuple[float, float]]:
    """Seconds before the issue of the first request of each section, and after the last of it has ended."""
    ends = [0, *(end for span in run.counted_spans for end in span), end]
    spans = zip(ends[::2], ends[1::2], strict=True)
    return [(left / PICOSECONDS, right / PICOSECONDS) for left, right in spans if right > left]


def _band(plot: Plot, low: Floats, high: Floats) -> str:
    """A closed outline: the largest values from left to right in steps, the smallest back."""
    edges = plot.left + plot.across.length * np.arange(len(low) + 1) / len(low)
    tops, bottoms = (plot.bottom - plot.up.length * part / plot.up.last for part in (high, low))
    back = _steps(edges[::-1], bottoms[::-1])
    return f"M{_steps(edges, tops)}L{back}Z"


def _steps(edges: Floats, heights: Floats) -> str:
    """Level pieces between edges; equal neighbours are one."""
    is_new = np.append(True, np.round(heights[1:], 1) != np.round(heights[:-1], 1))
    starts, levels = edges[:-1][is_new], heights[is_new]
    ends = np.append(starts[1:], edges[-1])
    return "L".join(
        f"{start:.1f} {level:.1f}H{end:.1f}" for start, end, level in zip(starts, ends, levels, strict=True)
    )


QUEUE_STYLE = (
    ".band{fill:#0072b2;fill-opacity:.45;stroke:#0072b2;stroke-width:1;stroke-linejoin:round}"
    ".uncounted{fill:#57606a;fill-opacity:.1}"
    + dark(".band{fill:#56b4e9;stroke:#56b4e9}.uncounted{fill:#a9b2bd;fill-opacity:.14}")
)
"""Of bands and of the time that is not counted."""
