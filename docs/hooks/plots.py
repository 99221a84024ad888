"""Plots of the validation page, from the tables of that page: errors by kind, and predicted over measured times.

The pictures are SVG inside the page, so that their colours follow its light or dark scheme. Filled points are cases
that no fit used, rings are cases that a fit used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, log10
from statistics import median

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_KIND = re.compile(r"^## (?P<kind>.+)\n(?P<table>(?:(?!^## ).*\n)*)", re.MULTILINE)
_ROW = re.compile(
    r"^\| (?P<case>\S+) \| [^|]+ \| (?P<measured>[\d.]+) (?P<unit>\S+) \| (?P<predicted>[\d.]+)(?: [KM])? (?P<in>\S+) "
    r"\| (?P<error>[+-][\d.]+) % \| (?P<fitted>fit)? ?\|",
    re.MULTILINE,
)
_BEFORE = "\n## large operators\n"
_WIDTH, _LEFT, _ROW_HEIGHT, _LIMIT = 720, 170, 26, 60


@dataclass(frozen=True, slots=True)
class Case:
    """One measured case: `error` in per cent with its sign; times in seconds, None for what is no time."""

    kind: str
    error: float
    measured: float | None
    predicted: float | None
    is_fitted: bool


def cases(page: str) -> list[Case]:
    """The cases of the validation page, in its order."""
    return [_case(section["kind"], row) for section in _KIND.finditer(page) for row in _ROW.finditer(section["table"])]


def with_plots(page: str) -> str:
    """The validation page with both plots before its tables. Raises ValueError where the page has no tables."""
    found = cases(page)
    if not found or _BEFORE not in page:
        raise ValueError("validation.md has no tables of cases")
    shown = f"\n## Plots\n\n{_errors(found)}\n\n{_scatter(found)}\n"
    return page.replace(_BEFORE, shown + _BEFORE, 1)


def _case(kind: str, row: re.Match[str]) -> Case:
    measured = float(row["measured"]) * _SECONDS[row["unit"]] if row["unit"] in _SECONDS else None
    predicted = float(row["predicted"]) * _SECONDS[row["in"]] if row["in"] in _SECONDS else None
    return Case(kind, float(row["error"]), measured, predicted, row["fitted"] is not None)


def _errors(found: Sequence[Case]) -> str:
    """A row for each kind: a point for each case at its error, and a line at the median error of cases not in a fit."""
    kinds = [(kind, list(members)) for kind, members in groupby(found, key=lambda one: one.kind)]
    bottom = 30 + _ROW_HEIGHT * len(kinds)
    parts = [_vertical(error, bottom) for error in range(-_LIMIT, _LIMIT + 1, 20)]
    for number, (kind, members) in enumerate(kinds):
        y = 30 + _ROW_HEIGHT * (number + 0.5)
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 4:g}" text-anchor="end">{kind}</text>')
        parts += [_point(_x(one.error), y + _spread(place), one) for place, one in enumerate(members)]
        if unseen := [one.error for one in members if not one.is_fitted]:
            x = _x(median(unseen))
            parts.append(f'<path class="median" d="M{x:.1f} {y - 11:g}V{y + 11:g}"/>')
    over = sum(abs(one.error) > _LIMIT for one in found)
    caption = (
        f"Error of each of {len(found)} cases: predicted / measured - 1. Filled: not in a fit; ring: in a fit; "
        f"line: median of the cases not in a fit. {over} cases beyond ±{_LIMIT} % are drawn at the edge."
    )
    return _figure("Error by kind", caption, bottom + 30, parts)


def _vertical(error: int, bottom: float) -> str:
    name = "zero" if error == 0 else "grid"
    label = f'<text x="{_x(error):.1f}" y="{bottom + 20:g}" text-anchor="middle">{error:+d} %</text>'
    return f'<path class="{name}" d="M{_x(error):.1f} 30V{bottom:g}"/>{label}'.replace("+0 %", "0 %")


def _x(error: float) -> float:
    share = (max(-_LIMIT, min(_LIMIT, error)) + _LIMIT) / (2 * _LIMIT)
    return _LEFT + share * (_WIDTH - _LEFT - 30)


def _spread(place: int) -> float:
    """Points of a row go up and down in turn, so that they cover each other less."""
    return (place * 5 % 13 - 6) * 1.1


def _point(x: float, y: float, case: Case) -> str:
    return f'<circle class="{"fitted" if case.is_fitted else "unseen"}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _scatter(found: Sequence[Case]) -> str:
    """Predicted over measured time, both logarithmic, with the diagonal of equality."""
    times = [(one, log10(one.measured), log10(one.predicted)) for one in found if one.measured and one.predicted]
    low = floor(min(min(across, up) for _, across, up in times))
    high = ceil(max(max(across, up) for _, across, up in times))
    left, size, top = 150, 460, 20
    scale = size / (high - low)

    def x(value: float) -> float:
        return left + (value - low) * scale

    def y(value: float) -> float:
        return top + (high - value) * scale

    parts: list[str] = []
    for power in range(low, high + 1):
        parts.append(f'<path class="grid" d="M{x(power):.1f} {top}V{top + size}M{left} {y(power):.1f}H{left + size}"/>')
        label = _time(power)
        parts.append(f'<text x="{x(power):.1f}" y="{top + size + 18}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="{left - 8}" y="{y(power) + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<path class="zero" d="M{x(low):.1f} {y(low):.1f}L{x(high):.1f} {y(high):.1f}"/>')
    parts += [_point(x(across), y(up), one) for one, across, up in times]
    parts.append(f'<text x="{left + size / 2:g}" y="{top + size + 40}" text-anchor="middle">measured</text>')
    middle = top + size / 2
    parts.append(f'<text transform="translate(80 {middle:g}) rotate(-90)" text-anchor="middle">predicted</text>')
    caption = (
        f"Predicted over measured time of {len(times)} cases, from kernels to requests. The line is equality. Filled: "
        "not in a fit; ring: in a fit."
    )
    return _figure("Predicted over measured", caption, top + size + 52, parts)


def _time(power: int) -> str:
    """`10 us` of -5."""
    unit, least = next(
        (unit, least) for unit, least in (("s", 0), ("ms", -3), ("us", -6)) if power >= least or unit == "us"
    )
    return f"{10.0 ** (power - least):g} {unit}"


def _figure(title: str, caption: str, height: float, parts: Sequence[str]) -> str:
    return "".join(_lines(title, caption, height, parts))


def _lines(title: str, caption: str, height: float, parts: Sequence[str]) -> Iterator[str]:
    yield f'<figure class="plot"><svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{title}">'
    yield from parts
    yield f"</svg><figcaption>{caption}</figcaption></figure>"
