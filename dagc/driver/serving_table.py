"""Tables of measured serving runs become runs with a plan: CSV of InferenceX, or of AIConfigurator's silicon runs.

The second has a run a row: `backend`, `backend_version`, `model_path` (Hugging Face id), `system`, `precision`, `isl`,
`osl`, `silicon_concurrency` or `batch_size`, `tp_size`, `adp`, `moe_tp_size`, `moe_ep_size`, `silicon_tpot_ms` and
`suspect`, the reason why a row may not be what it says. A run that the table has twice counts once: rows whose
configuration, load, TPOT and `silicon_ttft_ms` are the same to 10 us are one run, which one of its origins rounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from dagc.catalog.cases import table_reader
from dagc.catalog.presets import find_device
from dagc.catalog.serving_benchmark import BenchmarkRow, as_run, cache_dtype, doubt, unusable
from dagc.catalog.serving_overhead import framework_of, serving_overhead
from dagc.catalog.serving_pools import WorkerShape
from dagc.catalog.serving_runs import ServingRun, WorkerDegrees, served_model, with_cache
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.load_run import limits_of_pools
from dagc.driver.load_table import BAD_LOADS, bad_row, count, read_loads
from dagc.engines.registry import engine_names
from dagc.source import Source

_SILICON = ("backend", "model_path", "system", "precision", "isl", "osl", "tp_size", "silicon_tpot_ms")
_MOST_TOKENS, _MOST_GPUS, _MOST_CONCURRENCY = 1 << 20, 1 << 12, 1 << 14
_MOST_SECONDS = 1e4

_BENCHMARK_ID = re.compile(r"cfg\d+$|^2026|_gap_analysis_")
"""Ids of rows that InferenceX measured, whose lengths are ranged; those of the last kind are rounded copies."""

_MONTH = len("2026-01")
"""Of a day in ISO 8601: the version of a row that states no image."""

_NO_SUCH_RUN = "expert parallelism and attention dp of the run are not those of the table"


@dataclass(frozen=True, slots=True)
class ServingTable:
    """What tables hold: runs, why rows say nothing of a plan (one reason for each), and what is wrong with others."""

    runs: tuple[ServingRun, ...]
    unplanned: tuple[str, ...]
    problems: tuple[Diagnostic, ...]


def read_serving(sources: Sequence[Source]) -> ServingTable:
    """The runs of all tables; repeats of a configuration and load of InferenceX are one run."""
    tables = [_read(source) for source in sources]
    return ServingTable(
        runs=tuple(run for table in tables for run in table.runs),
        unplanned=tuple(one for table in tables for one in table.unplanned),
        problems=tuple(problem for table in tables for problem in table.problems),
    )


def _read(source: Source) -> ServingTable:
    reader = table_reader(source.text)
    names = frozenset(reader.fieldnames or ())
    if "silicon_tpot_ms" not in names and "model_path" not in names:
        found = _of_benchmark(source)
    elif missing := [name for name in _SILICON if name not in names]:
        columns = " and ".join(f"`{name}`" for name in missing)
        advice = "`dagc explain X404` shows both kinds of tables"
        problem = BAD_LOADS.at(None, f"a table of serving runs needs a column {columns}", help=(advice,))
        return ServingTable((), (), (problem,))
    else:
        found = _of_silicon(source)
    if found.runs or found.unplanned or found.problems:
        return found
    problem = BAD_LOADS.at(None, f"`{source.name}` has no row", help=("`dagc explain X404` shows a table",))
    return ServingTable((), (), (problem,))


# Silicon runs of AIConfigurator


def _of_silicon(source: Source) -> ServingTable:
    runs: dict[tuple[object, ...], ServingRun] = {}
    unplanned: list[str] = []
    problems: list[Diagnostic] = []
    reader = table_reader(source.text)
    for row in reader:
        cells = {name: (cell or "").strip() for name, cell in row.items() if isinstance(cell, str | None) and name}
        try:
            found = _silicon(cells)
        except ValueError as reason:
            problems.append(bad_row(source, reader.line_num, str(reason)))
            continue
        if isinstance(found, str):
            unplanned.append(found)
        else:
            runs.setdefault(_figures(found, cells.get("silicon_ttft_ms", "")), found)
    return ServingTable(tuple(runs.values()), tuple(unplanned), tuple(problems))


def _figures(run: ServingRun, ttft: str) -> tuple[object, ...]:
    """What tells a run from others: its configuration and load, and what was measured, to two decimals of a ms."""
    try:
        to_first = f"{float(ttft):.2f}"
    except ValueError:
        to_first = ttft
    return *run.configuration, run.concurrency, run.suspect, f"{run.tpot_seconds * 1e3:.2f}", to_first


def _silicon(cells: Mapping[str, str]) -> ServingRun | str:
    """The run of a row, or why no plan describes it. Raises ValueError where a number is missing or makes no sense."""
    worker, experts_tp = _silicon_worker(cells)
    load = "silicon_concurrency" if cells.get("silicon_concurrency") else "batch_size"
    numbers = {name: count(cells, name, _MOST_TOKENS) for name in ("isl", "osl")}
    concurrency = count({load: _whole(cells.get(load, ""))}, load, _MOST_CONCURRENCY)
    tpot = _milliseconds(cells)
    model, device = (
        served_model(cells["model_path"], cells["precision"]),
        find_device(cells["system"].replace("_", "-")),
    )
    precision = cells["precision"] or "its own precision"
    if model is None:
        return f"no model `{cells['model_path']}` in {precision}"
    if device is None:
        return f"no device `{cells['system']}`"
    if cells["backend"] not in engine_names():
        return f"no engine `{cells['backend']}`"
    if worker.ep > 1 and experts_tp > 1:
        return "experts by ep and tp at once"
    is_benchmark = bool(_BENCHMARK_ID.search(cells.get("id", "")))
    if is_benchmark and worker.tp > 1 and worker.adp > 1:
        # The benchmark's scripts take one width, and split attention by tp or by dp (SemiAnalysisAI/InferenceX
        # @ 843c6254, benchmarks/single_node/fixed_seq_len): a row with both is of half as many GPUs.
        return _NO_SUCH_RUN
    row = BenchmarkRow(
        hardware=device.partition("-")[0], framework=cells["backend"], precision=cells["precision"], tp=worker.tp,
        ep=worker.ep, has_attention_dp=worker.adp > 1, prompt=numbers["isl"], output=numbers["osl"],
        concurrency=concurrency, date=_day(cells.get("id", "")), image=cells.get("backend_version", ""),
        model=model[0],
    )  # fmt: skip
    cache = ""
    if is_benchmark:
        if reason := unusable(row):
            return reason
        worker = replace(worker, ep=as_run(row).ep)
        cache = cache_dtype(replace(row, framework=framework_of(row.framework)))
    return _planned(
        ServingRun(
            table="silicon", model=model[0], precision=cells["precision"], gpu=device, engine=cells["backend"],
            plan_engine=cells["backend"], version=cells.get("backend_version", ""), worker=worker,
            prompt=numbers["isl"], output=numbers["osl"], concurrency=concurrency, tpot_seconds=tpot,
            model_text=with_cache(model[1], cache), is_ranged=is_benchmark,
            suspect=cells.get("suspect", "") or doubt(row),
        )
    )  # fmt: skip


def _day(name: str) -> str:
    """The day that an id begins with, as in ISO 8601; nothing where it begins with none."""
    found = re.match(r"(2026)[_-](\d\d)[_-](\d\d)", name)
    return "-".join(found.groups()) if found else ""


def _silicon_worker(cells: Mapping[str, str]) -> tuple[WorkerDegrees, int]:
    """The worker of a row, and tp of its experts; an empty cell is a degree of 1."""
    names = ("tp_size", "adp", "moe_ep_size", "moe_tp_size")
    degrees = {name: _whole(cells.get(name, "")) or "1" for name in names}
    tp, adp, ep, experts_tp = (count(degrees, name, _MOST_GPUS) for name in names)
    return WorkerDegrees(tp, adp, ep), experts_tp


def _whole(text: str) -> str:
    """A whole number as tables of a data frame write one: `8.0` is `8`."""
    return text.removesuffix(".0")


def _milliseconds(cells: Mapping[str, str]) -> float:
    name = "silicon_tpot_ms"
    try:
        seconds = float(cells[name]) / 1e3
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < _MOST_SECONDS:
        raise ValueError(f"`{name}` is `{cells[name]}`: a positive number of milliseconds is needed")
    return seconds


def _planned(run: ServingRun) -> ServingRun | str:
    """The run, or why its strategy has no words."""
    try:
        return run if run.plan else ""
    except ValueError as reason:
        return str(reason)


# InferenceX


def _of_benchmark(source: Source) -> ServingTable:
    measured, problems = read_loads(source)
    repeats: dict[tuple[object, ...], list[ServingRun]] = {}
    unplanned: list[str] = []
    for one in sorted(measured, key=lambda one: one.row.date):
        found = unusable(one.row) or _benchmark(one.row, one.measured["median_tpot"])
        if isinstance(found, str):
            unplanned.append(found)
        else:
            repeats.setdefault((*found.configuration, found.concurrency), []).append(found)
    return ServingTable(tuple(_median(runs) for runs in repeats.values()), tuple(unplanned), problems)


def _benchmark(row: BenchmarkRow, tpot: float) -> ServingRun | str:
    model, device = served_model(row.model, row.precision), find_device(row.hardware)
    overhead = serving_overhead(row.framework, row.hardware)
    if model is None:
        return f"no model `{row.model}` in {row.precision}"
    if device is None:
        return f"no device `{row.hardware}`"
    if overhead is None:
        return f"no engine `{row.framework}`"
    limits = limits_of_pools(row)
    return _planned(
        ServingRun(
            table="InferenceX", model=model[0], precision=row.precision, gpu=device, engine=row.framework,
            plan_engine=overhead.plan_engine, version=row.image or row.date[:_MONTH],
            worker=_worker(row.decode or row.worker), prompt=row.prompt, output=row.output,
            concurrency=row.concurrency, tpot_seconds=tpot,
            model_text=with_cache(model[1], cache_dtype(row)), workers=row.decode.workers if row.decode else 1,
            prefill=(row.workers, _worker(row.worker)) if row.decode else None, is_ranged=True,
            redundant=limits.decode_redundant if limits else 0,
        )
    )  # fmt: skip


def _worker(shape: WorkerShape) -> WorkerDegrees:
    return WorkerDegrees(1, shape.tp, shape.ep) if shape.has_attention_dp else WorkerDegrees(shape.tp, 1, shape.ep)


def _median(repeats: Iterable[ServingRun]) -> ServingRun:
    """One run of all, given by day: with the cache that most of them had, and the newest version."""
    runs = tuple(repeats)
    texts = [one.model_text for one in runs]
    usual = runs[texts.index(max(texts, key=texts.count))]
    tpot = median(one.tpot_seconds for one in runs)
    return replace(usual, tpot_seconds=tpot, version=runs[-1].version, repeats=len(runs))
