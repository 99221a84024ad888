"""`python -m dagc.driver.intervals RUNS...` writes the intervals and pair errors of the package from measured runs.

RUNS are tables of measured serving runs (`dagc validate serving`). Static batches are the packaged cases to which
nothing was fitted. The file says what it is from: tables with their rows, and the commit whose prices predicted them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any, cast

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.validate import PREFILL_RATE, validate
from dagc.driver.validate_serving import Report, validate_serving
from dagc.fit.intervals import IntervalCoverage, coverage, interval_table
from dagc.results.intervals import FILE, Group, IntervalTable
from dagc.results.ledger import LedgerEntry
from dagc.results.paired import PairErrors, pair_errors
from dagc.results.plan_order import pairs_of
from dagc.results.serving_validation import PredictedRun
from dagc.source import Source

_DIGITS = 5

_ORIGINS = {
    "silicon": "ai-dynamo/aiconfigurator @ 095f58a5 (Apache-2.0), measured serving runs on one node",
    "InferenceX": "InferenceX by SemiAnalysis, figures of DeepSeek-R1 with the run of each row",
}
"""Where tables of the two kinds of columns are from."""


def validate_coverage(
    sources: Sequence[Source], workers: int, report: Report
) -> tuple[IntervalCoverage, int, tuple[Diagnostic, ...]]:
    """Coverage of intervals that the runs themselves set, half by half; how many runs; and what is wrong with rows."""
    found = validate_serving(sources, workers, report)
    return coverage(found.runs), len(found.runs), found.problems


def intervals_document(runs: Sequence[PredictedRun], entries: Sequence[LedgerEntry], commit: str) -> dict[str, Any]:
    """The file of the package as data."""
    batches = _static_batches(entries)
    table, pairs = interval_table(runs, batches), pair_errors(pairs_of(runs))
    return {
        "schema_version": 1,
        "commit": commit,
        "sources": _sources(runs, batches),
        "groups": _groups(table),
        "known": [
            {"path": list(path), "shift": _short(place.shift), "scale": _short(place.scale)}
            for path, place in table.known.items()
        ],
        "pairs": _pairs(pairs),
    }


def _static_batches(entries: Sequence[LedgerEntry]) -> dict[Group, list[float]]:
    """Residuals of static batches to which nothing was fitted: of prefill, decode, or both."""
    found: dict[Group, list[float]] = {"static batch": [], "static batch, one GPU": []}
    for one in entries:
        interval = one.interval
        if one.case.fitted or one.predicted is None or one.spread is None or interval is None:
            continue
        if interval.group in found:
            sign = -1.0 if one.case.metric == PREFILL_RATE else 1.0
            found[interval.group].append(sign * log(one.case.measured / one.predicted) / one.spread)
    return found


def _sources(runs: Sequence[PredictedRun], batches: Mapping[Group, Sequence[float]]) -> list[dict[str, Any]]:
    counted = [one.run for one in runs if not one.run.suspect]
    rows = [
        {
            "table": origin,
            "runs": sum(run.table == name for run in counted),
            "not_in_a_fit": sum(run.table == name and not run.is_in_fit for run in counted),
        }
        for name, origin in _ORIGINS.items()
    ]
    cases = {"table": "dagc/catalog/measured/cases.csv", "runs": sum(map(len, batches.values()))}
    return [*rows, {**cases, "not_in_a_fit": cases["runs"]}]


def _groups(table: IntervalTable) -> list[dict[str, Any]]:
    return [
        {
            "group": group,
            "runs": one.runs,
            **{f"{level}": [_short(end) for end in bounds] for level, bounds in zip((50, 80), one.bounds, strict=True)},
        }
        for group, one in table.groups.items()
    ]


def _pairs(pairs: Mapping[str, PairErrors]) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "pairs": one.pairs,
            "groups": one.groups,
            "quantiles": [_short(value) for value in one.quantiles],
        }
        for kind, one in pairs.items()
    ]


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _text(document: Mapping[str, Any]) -> str:
    """One line for each row, so that a change of the file is read line by line."""
    parts: list[str] = []
    for key, value in document.items():
        text = json.dumps(value)
        if isinstance(value, list):
            rows = map(json.dumps, cast("list[object]", value))
            text = "[\n    " + ",\n    ".join(rows) + "\n  ]"
        parts.append(f'  "{key}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _commit() -> str:
    """The commit of the tree that this file is in, with `+` where files have changed since."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _write(paths: Sequence[str]) -> int:
    sources = [Source(path, Path(path).read_text("utf-8")) for path in paths]
    found = validate_serving(sources, os.cpu_count() or 1)
    for problem in found.problems:
        print(problem.message, file=sys.stderr)  # noqa: T201
    if not found.runs:
        print("usage: python -m dagc.driver.intervals RUNS...", file=sys.stderr)  # noqa: T201
        return 2
    FILE.write_text(_text(intervals_document(found.runs, validate(), _commit())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_write(sys.argv[1:]))
