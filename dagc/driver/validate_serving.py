"""TPOT of measured serving runs is predicted in closed form: each is checked as a plan, without simulated requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dagc.catalog.serving_runs import ServingRun
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.driver.load_table import BAD_LOADS
from dagc.driver.serving_table import read_serving
from dagc.results.intervals import LikePath, path_of
from dagc.results.serving_validation import PredictedRun
from dagc.search.worker_pool import worker_pool
from dagc.source import Source

_PIECE = 24
"""Runs that a worker takes at once."""

Report = Callable[[int, int], None]
"""Takes plans priced, and all plans."""


Answer = tuple[float, float, LikePath]
"""TPOT in seconds, its expected relative error, and what its plan is like."""


def _silent(done: int, of: int) -> None:
    return


@dataclass(frozen=True, slots=True)
class PredictedTables:
    """Tables of runs with predictions: the runs, why rows are not scored (one reason for each), and what is wrong."""

    runs: tuple[PredictedRun, ...]
    unscored: tuple[str, ...]
    problems: tuple[Diagnostic, ...]


def validate_serving(sources: Sequence[Source], workers: int = 1, report: Report = _silent) -> PredictedTables:
    """The runs of tables with their predictions; X404 where the tables have rows and no run of them is predicted."""
    table = read_serving(sources)
    runs, reasons = predict_runs(table.runs, workers, report)
    unscored = (*table.unplanned, *reasons)
    problems = table.problems
    if unscored and not runs:
        problems = (*problems, BAD_LOADS.at(None, f"no row of the tables has a prediction: {unscored[0]}"))
    return PredictedTables(runs, unscored, problems)


def predict_runs(
    runs: Sequence[ServingRun], workers: int = 1, report: Report = _silent
) -> tuple[tuple[PredictedRun, ...], tuple[str, ...]]:
    """Predicted runs in their order, and why others could not be; `report` gets runs done and all runs."""
    texts = sorted({run.plan for run in runs})
    pieces = [texts[first : first + _PIECE] for first in range(0, len(texts), _PIECE)]
    answers: list[Answer | str] = []
    with worker_pool(workers) as pool:
        for first in range(0, len(pieces), 2 * workers):
            report(len(answers), len(texts))
            for found in pool.map(predict_plans, pieces[first : first + 2 * workers]):
                answers.extend(found)
    known = dict(zip(texts, answers, strict=True))
    predicted: list[PredictedRun] = []
    reasons: list[str] = []
    for run in runs:
        found = known[run.plan]
        if isinstance(found, str):
            reasons.append(found)
        else:
            predicted.append(PredictedRun(run, *found))
    return tuple(predicted), tuple(reasons)


def predict_plans(texts: Sequence[str]) -> list[Answer | str]:
    """The answer to each plan, or why it has none."""
    return [_predicted(text) for text in texts]


def _predicted(text: str) -> Answer | str:
    outcome = check(Source("run.moe", text), sample=None)
    metrics = outcome.checked[0].priced.assessment.metrics if outcome.checked else None
    if metrics is None:
        reasons = (f"{one.code}: {one.message}" for one in outcome.diagnostics if one.is_error)
        return next(reasons, "its plan is not priced")
    return metrics.decode.seconds, metrics.decode.error_share, path_of(outcome.checked[0].plan)
