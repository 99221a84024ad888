"""The difference between a trace and a plan as text."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.text import escape
from dagc.export.text.columns import columns
from dagc.results.trace_diff import LoneKernel, OperatorDifference, TraceDiff
from dagc.units import format_seconds

_MOST_NAME = 60
_MOST_LONE = 12
_SMALL, _NOTHING = 0.03, 1e-6
"""Shares of the measured layer: of a difference that needs no explanation, and of rounding."""


def render_diff(found: TraceDiff, name: str) -> str:
    """What explains the difference, then each operator, and what is on one side alone."""
    return "\n".join(_lines(found, name)) + "\n"


def _lines(found: TraceDiff, name: str) -> Iterator[str]:
    layers = "1 layer" if found.layers * found.unit == 1 else f"{found.layers * found.unit:,} layers"
    yield (
        f"{escape(name)}: {layers} like `{found.layer}` of {found.plan}, {found.phase}, "
        f"{found.covered:.0%} of the time of kernels"
    )
    rounding = _NOTHING * found.measured_seconds
    unit = "a layer" if found.unit == 1 else f"{found.unit} layers"
    measured, predicted = found.measured_seconds, found.predicted_seconds
    times = f"measured {format_seconds(measured)}, predicted {format_seconds(predicted)}"
    yield f"kernels of {unit}: {times}, difference {_signed(measured - predicted, rounding)}"
    yield _explanation(found)
    yield ""
    yield from columns(
        [
            ("operator", "predicted", "measured", "difference", "share", "kernels"),
            *(_row(one, rounding) for one in found.operators),
        ]
    )
    if found.lone_kernels:
        yield ""
        shown = found.lone_kernels[:_MOST_LONE]
        more = f", {len(shown)} of {len(found.lone_kernels)} names" if len(shown) < len(found.lone_kernels) else ""
        yield f"kernels that are no operator of the plan{more}"
        yield from columns([("kernel", "kind", "count", "measured", "share"), *map(_kernel, shown)])
    if found.lone_operators:
        yield ""
        yield "operators that are no kernel of the trace"
        rows = [(one.key, format_seconds(one.predicted_seconds), f"{one.share:.0%}") for one in found.lone_operators]
        yield from columns([("operator", "predicted", "share"), *rows])


def _explanation(found: TraceDiff) -> str:
    """The largest cause in a sentence."""
    if not found.operators:
        return "nothing is matched"
    first = found.operators[0]
    if abs(first.difference_seconds) < _SMALL * found.measured_seconds:
        return f"no operator differs by {_SMALL:.0%} of the layer"
    times = first.measured_seconds / first.predicted_seconds if first.predicted_seconds else float("inf")
    return (
        f"explained first by {first.key}: {times:.2f} times as long as predicted, {first.share:.0%} of the differences"
    )


def _row(one: OperatorDifference, rounding: float) -> tuple[str, ...]:
    names = ", ".join(_short(name) for name in one.kernels[:1])
    more = f" +{len(one.kernels) - 1}" if len(one.kernels) > 1 else ""
    times = format_seconds(one.predicted_seconds), format_seconds(one.measured_seconds)
    apart, is_rounding = one.difference_seconds, abs(one.difference_seconds) < rounding
    return one.key, *times, _signed(apart, rounding), "-" if is_rounding else f"{one.share:.0%}", names + more


def _kernel(one: LoneKernel) -> tuple[str, ...]:
    return _short(one.name), one.kind, f"{one.count:g}", format_seconds(one.seconds), f"{one.share:.0%}"


def _short(name: str) -> str:
    text = escape(name.removeprefix("void ").partition("(")[0] or name)
    return text if len(text) <= _MOST_NAME else text[: _MOST_NAME - 1] + "…"


def _signed(seconds: float, rounding: float) -> str:
    return "0" if abs(seconds) < rounding else f"{'-' if seconds < 0 else '+'}{format_seconds(abs(seconds))}"
