"""A table of measured serving runs becomes rows: CSV with the columns of InferenceX."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dagc.catalog.cases import table_reader
from dagc.catalog.serving_benchmark import BenchmarkRow, as_run
from dagc.catalog.serving_pools import WorkerShape
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.results.load_validation import FIGURES, MeasuredRun
from dagc.source import Source

BAD_LOADS = Code("X404", "bad-serving-runs")

_NEEDED = (
    *("hardware", "framework", "precision", "prefill_tp", "prefill_ep", "prefill_dp_attention"),
    *("isl", "osl", "conc", "date", "median_ttft", "median_tpot", "median_itl"),
)
_MEASURED = (*FIGURES, "median_itl")

_FEWEST_TOKENS, _MOST_TOKENS, _MOST_CONCURRENCY = 16, 1 << 20, 1 << 14
"""Shortest and longest prompt or output, and largest number of clients, of a run that is simulated."""


def read_loads(source: Source) -> tuple[tuple[MeasuredRun, ...], tuple[Diagnostic, ...]]:
    """The rows of a table, and what is wrong with others."""
    reader = table_reader(source.text)
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        columns = " and ".join(f"`{name}`" for name in missing)
        advice = "`dagc explain X404` shows a table"
        return (), (BAD_LOADS.at(None, f"a table of serving runs needs a column {columns}", help=(advice,)),)
    runs: list[MeasuredRun] = []
    problems: list[Diagnostic] = []
    for row in reader:
        cells = {name: (cell or "").strip() for name, cell in row.items() if isinstance(cell, str | None) and name}
        try:
            runs.append(_run(cells, reader.line_num))
        except ValueError as reason:
            problems.append(bad_row(source, reader.line_num, str(reason)))
    return tuple(runs), tuple(problems)


def bad_row(source: Source, line: int, reason: str) -> Diagnostic:
    """What is wrong with a row of a table."""
    number = min(line, len(source.line_starts))
    start = source.line_starts[number - 1]
    place = source.span(start, start + len(source.line(number)))
    return BAD_LOADS.at(place, reason, "in this row", help=("`dagc explain X404` shows what a row holds",))


def _run(cells: Mapping[str, str], line: int) -> MeasuredRun:
    """Raises ValueError where a number is missing or makes no sense."""
    has_pools = cells.get("disagg", "").lower() == "true"
    decode = _worker(cells, "decode") if has_pools else None
    gpus = [count(cells, f"num_{pool}_gpu", _MOST_CONCURRENCY) for pool in ("prefill", "decode")] if has_pools else []
    worker = _worker(cells, "prefill") if has_pools else _shape(cells, "prefill", 1)
    row = BenchmarkRow(
        hardware=cells["hardware"],
        framework=cells["framework"],
        precision=cells["precision"],
        tp=worker.tp,
        ep=worker.ep,
        has_attention_dp=worker.has_attention_dp,
        prompt=count(cells, "isl", _MOST_TOKENS, lowest=_FEWEST_TOKENS),
        output=count(cells, "osl", _MOST_TOKENS, lowest=_FEWEST_TOKENS),
        concurrency=count(cells, "conc", _MOST_CONCURRENCY),
        date=cells["date"],
        image=cells.get("image", ""),
        drafts=cells.get("spec_method", "none"),
        workers=worker.workers,
        decode=decode,
        model=cells.get("model") or "dsr1",
        has_whole_pools=decode is None or [worker.workers * worker.tp, decode.workers * decode.tp] == gpus,
    )
    measured = {name: _seconds(cells, name) for name in _MEASURED if cells.get(name)}
    for name in ("median_ttft", "median_tpot", "median_itl"):
        if name not in measured:
            raise ValueError(f"`{name}` is missing")
    throughputs = [cells.get(name) for name in ("tput_per_gpu", "output_tput_per_gpu")]
    ratio = _seconds(cells, "tput_per_gpu") / _seconds(cells, "output_tput_per_gpu") if all(throughputs) else None
    if ratio is not None and gpus:
        # Output tokens are stated by GPU of the decode pool, all tokens by GPU of both.
        ratio *= sum(gpus) / gpus[1]
    return MeasuredRun(as_run(row), line, measured, ratio)


def _worker(cells: Mapping[str, str], pool: str) -> WorkerShape:
    return _shape(cells, pool, count(cells, f"{pool}_num_workers", _MOST_CONCURRENCY, lowest=0))


def _shape(cells: Mapping[str, str], pool: str, workers: int) -> WorkerShape:
    tp, ep = (count(cells, f"{pool}_{axis}", _MOST_CONCURRENCY) for axis in ("tp", "ep"))
    return WorkerShape(workers, tp, ep, cells.get(f"{pool}_dp_attention", "").lower() == "true")


def count(cells: Mapping[str, str], name: str, most: int, lowest: int = 1) -> int:
    """The whole number of a cell. Raises ValueError where it is none, or outside of its limits."""
    text = cells.get(name, "")
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
    if not lowest <= value <= most:
        raise ValueError(f"`{name}` is `{text}`: a whole number from {lowest} to {most:,} is needed")
    return value


def _seconds(cells: Mapping[str, str], name: str) -> float:
    try:
        value = float(cells[name])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` is `{cells[name]}`: a positive number is needed")
    return value
