"""Measured serving runs are simulated, request by request, and percentiles of both are compared.

Each configuration and concurrency counts once: the median of its repeats stands against the median of what is
predicted for these repeats, since their limits change from day to day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from dagc.catalog.presets import find_device
from dagc.catalog.serving_benchmark import is_stalled, server_limits, unusable
from dagc.catalog.serving_overhead import serving_overhead
from dagc.driver.load_run import MODELS, LoadSimulator, limits_of_pools, request_count
from dagc.results.load_validation import LoadCase, LoadErrors, MeasuredRun, UnscoredRun, load_errors
from dagc.results.run_comparison import MOST_OF_A_TOKEN
from dagc.search.worker_pool import worker_pool

_SIMULATED = "dsr1"
"""The model whose runs are simulated, as the benchmark names it."""


def validate_load(
    runs: Sequence[MeasuredRun], workers: int, report: Callable[[int, int], None] = lambda done, of: None
) -> LoadErrors:
    """Every configuration and load of measured runs with its prediction; `report` gets pieces done and all pieces."""
    reasons = [(run, _unscored(run)) for run in runs]
    dropped = [UnscoredRun(run=run, reason=reason) for run, reason in reasons if reason]
    pieces = _pieces(run for run, reason in reasons if not reason)
    cases: list[LoadCase] = []
    with worker_pool(workers) as pool:
        for first in range(0, len(pieces), 2 * workers):
            report(first, len(pieces))
            for found, missing in pool.map(simulate_runs, pieces[first : first + 2 * workers]):
                cases.extend(found)
                dropped.extend(missing)
    return load_errors(cases, dropped)


def _unscored(run: MeasuredRun) -> str | None:
    row = run.row
    if reason := unusable(row):
        return reason
    if row.model != _SIMULATED:
        return f"no simulation of `{row.model}`"
    if serving_overhead(row.framework, row.hardware) is None or row.precision not in MODELS:
        return f"`{row.framework}` in {row.precision} has no plan"
    if find_device(row.hardware) is None:
        return f"no device `{row.hardware}`"
    known = server_limits(row) if row.decode is None else limits_of_pools(row)
    return None if known else "no script or recipe of the benchmark is known"


def _pieces(runs: Iterable[MeasuredRun]) -> list[tuple[MeasuredRun, ...]]:
    """Runs of one model on one deployment, which share step times; the largest first, so that workers end alike."""
    found: dict[tuple[object, ...], list[MeasuredRun]] = {}
    for run in runs:
        found.setdefault(run.row.deployment, []).append(run)
    return sorted((tuple(piece) for piece in found.values()), key=lambda piece: (-len(piece), str(piece[0].row)))


def simulate_runs(runs: Sequence[MeasuredRun]) -> tuple[list[LoadCase], list[UnscoredRun]]:
    """Each configuration and load of runs that share a deployment."""
    simulator = LoadSimulator()
    loads: dict[tuple[object, ...], list[MeasuredRun]] = {}
    for run in runs:
        loads.setdefault((*run.row.configuration, run.row.concurrency), []).append(run)
    cases: list[LoadCase] = []
    missing: list[UnscoredRun] = []
    for repeats in loads.values():
        found = [(run, simulator.predict(run.row, request_count(run))) for run in repeats]
        missing.extend(UnscoredRun(run=run, reason=reason) for run, reason in found if isinstance(reason, str))
        if predicted := [(run, figures) for run, figures in found if not isinstance(figures, str)]:
            cases.append(_case(predicted))
    return cases, missing


def _case(repeats: Sequence[tuple[MeasuredRun, dict[str, float]]]) -> LoadCase:
    """Medians over repeats. Where some began warm, only these count in p99."""
    row = repeats[0][0].row
    warm = [one for one in repeats if not is_stalled(one[0].row)]
    predicted: dict[str, float] = {}
    measured: dict[str, float] = {}
    for name in repeats[0][1]:
        counted = warm if name.startswith("p99") else repeats
        pairs = [(run.measured[name], figures[name]) for run, figures in counted if name in run.measured]
        if pairs:
            measured[name] = median(one for one, _ in pairs)
            predicted[name] = median(one for _, one in pairs)
    chunk = median(run.measured["median_itl"] for run, _ in repeats)
    if chunk > MOST_OF_A_TOKEN * measured["median_tpot"]:
        # Several tokens leave at once, so that gaps between chunks are not those between tokens.
        measured.pop("p99_itl", None)
    return LoadCase.of(row, len(repeats), measured, predicted)
