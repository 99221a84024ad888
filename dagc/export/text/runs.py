"""Results of serving benchmarks beside predictions, as text."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.text import escape
from dagc.export.text.columns import columns
from dagc.results.run_comparison import FigureComparison, RunComparison, RunComparisons
from dagc.units import format_count, format_rate, format_seconds

_STATISTICS = {"mean": "mean", "median": "p50"}
_TITLES = {"requests_per_second": "requests", "output_tokens_per_second": "output tokens"}


def render_runs(found: RunComparisons) -> str:
    """Errors over runs where there are several, then each run."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: RunComparisons) -> Iterator[str]:
    if len(found.runs) > 1:
        yield f"{len(found.runs):,} runs; median size of the error, and with its sign:"
        yield ""
        rows = [(_title(e.figure), f"{e.runs:,}", f"{e.median_absolute_error:.1%}", f"{e.bias:+.1%}")
                for e in found.errors]  # fmt: skip
        yield from columns([("figure", "runs", "error", "bias"), *rows])
        yield ""
    for number, run in enumerate(found.runs):
        if number:
            yield ""
        yield from _run(run)


def _run(run: RunComparison) -> Iterator[str]:
    model = f" of {escape(run.model)}" if run.model else ""
    yield f"{escape(run.run)}: {run.tool}{model}, strategy {run.strategy}"
    yield f"{run.requests:,} requests, {run.load}, prompt {run.prompt:,.0f}, output {run.output:,.0f}"
    if run.note:
        yield run.note
    yield from columns([("figure", "measured", "predicted", "error"), *map(_row, run.figures)])


def _row(one: FigureComparison) -> tuple[str, ...]:
    return _title(one.figure), _text(one.figure, one.measured), _text(one.figure, one.predicted), f"{one.error:+.1%}"


def _title(figure: str) -> str:
    """`TTFT p50`."""
    if figure.endswith("_second"):
        return _TITLES.get(figure, "all tokens")
    statistic, _, time = figure.partition("_")
    return f"{time.upper() if time != 'e2e' else 'end to end'} {_STATISTICS.get(statistic, statistic)}"


def _text(figure: str, value: float) -> str:
    if figure == "requests_per_second":
        return format_rate(value, "requests/s")
    return f"{format_count(value)} tokens/s" if figure.endswith("_second") else format_seconds(value)
