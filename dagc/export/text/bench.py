"""Benchmark commands as a shell script: predictions as comments, then the commands of each tool."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.text.columns import columns
from dagc.results.bench import Bench, BenchResult, Predicted, ToolRun
from dagc.units import format_count, format_gpus, format_rate, format_seconds

_TITLES = {"ttft": "TTFT", "tpot": "TPOT"}


def render_bench(found: BenchResult) -> str:
    """A script, its last line ended; what is no command is a comment."""
    return "\n\n".join("\n".join(_lines(one)) for one in found.strategies) + "\n" * bool(found.strategies)


def _lines(one: Bench) -> Iterator[str]:
    yield f"# {one.name}: {one.strategy}, {format_gpus(one.gpus)}; {one.workload}"
    rows = [("predicted", "", "half of measured cases lie in"), *map(_row, one.predicted)]
    yield from (f"# {line}" for line in columns(rows) if one.predicted)
    yield from (f"# {remark}" for remark in one.remarks)
    for run in one.tools:
        yield ""
        yield from _run(run)


def _row(figure: Predicted) -> tuple[str, str, str]:
    title = _TITLES.get(figure.metric, figure.metric)
    name = title if figure.metric not in _TITLES else f"{title} {figure.statistic}"
    low, high = figure.low, figure.high
    interval = "" if low is None or high is None else f"{_value(low, figure.unit)} to {_value(high, figure.unit)}"
    return f"  {name}", _value(figure.value, figure.unit), interval


def _value(value: float, unit: str) -> str:
    if unit == "seconds":
        return format_seconds(value)
    return f"{format_count(value)} {unit}" if unit == "tokens/s" else format_rate(value, unit)


def _run(run: ToolRun) -> Iterator[str]:
    if run.refusal:
        yield f"# {run.title}: not possible: {run.refusal}"
        return
    yield f"# {run.title}: compare {', '.join(run.figures)}"
    yield from (f"#   differs: {text}" for text in run.differs)
    yield from run.commands
