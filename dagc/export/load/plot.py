"""A plot of a simulation's figures: its frame, grid and labels, curves that differ by dashes and by tone, limits.

Tones are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind people tell apart; dashes do where
there is no colour at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log

from dagc.export.svg_text import PlotAxis, dark, text
from dagc.metrics import PERCENTILES
from dagc.plan.workload import Requirement
from dagc.units import format_seconds

MARGIN, WIDE = 16.0, 960.0
"""Of a picture, in pixels."""

LOG_FROM = 8.0
"""An axis is logarithmic where its ends differ by this factor."""

_TONES = (
    ("#0072b2", "#56b4e9"), ("#d55e00", "#e69f00"), ("#009e73", "#2fc79c"), ("#cc79a7", "#e3a3c6"),
    ("#8a6d00", "#f0e442"), ("#1b1f24", "#e6e9ed"),
)  # fmt: skip
"""On a light and on a dark page."""

_DASHES = ("", "8 4", "2 3", "9 3 2 3", "14 4", "5 2")

MOST_CURVES = len(_TONES)
"""Curves of one plot."""

STYLE = (
    ".curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.mark{stroke-width:1.5}"
    ".limit{stroke:#b3261e;stroke-width:1.5;stroke-dasharray:6 3}.missed{fill:#b3261e;fill-opacity:.07}"
    ".border{fill:none;stroke:#57606a;stroke-width:.8}.mark.none{fill:none}.mark.met{fill:#1b1f24}.mark{stroke:#1b1f24}"
    + "".join(
        f".c{i}{{stroke:{light};{f'stroke-dasharray:{dashes}' if dashes else ''}}}.m{i}{{fill:{light};stroke:#ffffff}}"
        for i, ((light, _), dashes) in enumerate(zip(_TONES, _DASHES, strict=True))
    )
    + dark(
        ".limit{stroke:#ff8a80}.missed{fill:#ff8a80;fill-opacity:.12}.border{stroke:#a9b2bd}"
        ".mark{stroke:#e6e9ed}.mark.met{fill:#e6e9ed}"
        + "".join(f".c{i}{{stroke:{tone}}}.m{i}{{fill:{tone};stroke:#15181c}}" for i, (_, tone) in enumerate(_TONES))
    )
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """A requirement on a percentile of a time of requests: `figure` is `ttft`, `tpot`, `itl` or `e2e`."""

    figure: str
    percentile: int
    seconds: float
    text: str


def load_limits(requirements: Iterable[Requirement]) -> tuple[LoadLimit, ...]:
    """Upper limits on percentiles among the requirements of a plan."""
    return tuple(
        LoadLimit(one.name, one.percentile, one.figure.value, f"{one.title} {one.comparison} {one.figure.text}")
        for one in requirements
        if one.percentile in PERCENTILES and one.is_ceiling
    )


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle whose sides are axes."""

    left: float
    top: float
    across: PlotAxis
    up: PlotAxis

    @property
    def right(self) -> float:
        """Its right side."""
        return self.left + self.across.length

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.top + self.up.length

    def x(self, value: float) -> float:
        """Where a value of the horizontal axis is."""
        return round(self.left + self.across.at(value), 1)

    def y(self, value: float) -> float:
        """Where a value of the vertical axis is."""
        return round(self.bottom - self.up.at(value), 1)

    def frame(
        self, x_text: Callable[[float], str], y_text: Callable[[float], str], y_ticks: Sequence[float] = ()
    ) -> list[str]:
        """Its border, and lines at round values with their labels left and below."""
        lines: list[str] = []
        for value in self.across.ticks(6):
            x = self.x(value)
            lines.append(f'<line class="grid" x1="{x:g}" y1="{self.top:g}" x2="{x:g}" y2="{self.bottom:g}"/>')
            lines.append(text(x, self.bottom + 15, "small muted", x_text(value), "middle"))
        for value in y_ticks or self.up.ticks(5):
            y = self.y(value)
            lines.append(f'<line class="grid" x1="{self.left:g}" y1="{y:g}" x2="{self.right:g}" y2="{y:g}"/>')
            lines.append(text(self.left - 7, y + 4, "small muted", y_text(value), "end"))
        size = f'width="{self.across.length:g}" height="{self.up.length:g}"'
        return [*lines, f'<rect class="border" x="{self.left:g}" y="{self.top:g}" {size}/>']

    def curve(self, points: Points, number: int) -> str:
        """A line through points in pixels, in the tone and the dashes of that number."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        return f'<path class="curve c{number % MOST_CURVES}" d="M{path}"/>' if points else ""


def time_text(seconds: float) -> str:
    """A label on an axis of times."""
    return format_seconds(seconds) if seconds else "0"


def time_axis(values: Sequence[float], length: float, is_log: bool) -> PlotAxis:
    """An axis with room on both sides of values above 0, logarithmic where asked for."""
    low, high = min(values), max(values)
    first, last = (log(low), log(high)) if is_log else (low, high)
    room = 0.04 * ((last - first) or abs(last) or 1.0)
    return PlotAxis(first - room, last + room, length, is_log)


def shape(kind: str, number: int | str, x: float, y: float) -> str:
    """A mark of a kind (`circle`, `square`, `diamond`, `cross`) with the class of a curve or a state."""
    name = f"mark m{number}" if isinstance(number, int) else f"mark {number}"
    match kind:
        case "circle":
            return f'<circle class="{name}" cx="{x:g}" cy="{y:g}" r="4"/>'
        case "square":
            return f'<rect class="{name}" x="{x - 3.8:g}" y="{y - 3.8:g}" width="7.6" height="7.6"/>'
        case "diamond":
            return f'<path class="{name}" d="M{x:g} {y - 5.2:g}l5.2 5.2l-5.2 5.2l-5.2 -5.2Z"/>'
        case _:
            return f'<path class="{name}" d="M{x - 4:g} {y - 4:g}l8 8M{x - 4:g} {y + 4:g}l8 -8"/>'


def sample_line(x: float, y: float, number: int) -> str:
    """A short piece of a curve, for a legend."""
    return f'<path class="curve c{number % MOST_CURVES}" d="M{x:g} {y:g}h26"/>'
