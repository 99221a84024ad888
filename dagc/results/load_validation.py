"""Measured serving runs beside simulated ones: errors by load, and their medians by engine, GPU and concurrency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from dagc.catalog.serving_benchmark import BenchmarkRow
from dagc.catalog.serving_pools import WorkerShape
from dagc.results.record import Versioned, record

LARGE = {"median_ttft": 0.3, "median_tpot": 0.15}
"""Median errors from which on a group is among the worst."""

FEW = 4
"""Requests in flight up to which hardly any waits for another."""

FIGURES = ("median_ttft", "p99_ttft", "median_tpot", "p99_tpot", "p99_itl")


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A row of a table of serving runs. `measured` is in seconds by name of the column.

    `tokens_per_output`: prompt and output tokens by output tokens, which tells the number of requests.
    """

    row: BenchmarkRow
    line: int
    measured: Mapping[str, float]
    tokens_per_output: float | None = None


@dataclass(frozen=True, slots=True)
class UnscoredRun:
    """A run without a prediction."""

    run: MeasuredRun
    reason: str


@record
class LoadCase:
    """A configuration and a load with figures in seconds: medians over repeats."""

    hardware: str
    framework: str
    precision: str
    tp: int
    ep: int
    attention_dp: bool
    workers: int
    decode: str
    prompt: int
    output: int
    concurrency: int
    repeats: int
    measured: dict[str, float]
    predicted: dict[str, float]

    @staticmethod
    def of(row: BenchmarkRow, repeats: int, measured: dict[str, float], predicted: dict[str, float]) -> LoadCase:
        """The case of a row."""
        return LoadCase(
            hardware=row.hardware, framework=row.framework, precision=row.precision,
            tp=row.tp, ep=row.ep, attention_dp=row.has_attention_dp, workers=row.workers, decode=str(row.decode or ""),
            prompt=row.prompt, output=row.output, concurrency=row.concurrency,
            repeats=repeats, measured=measured, predicted=predicted,
        )  # fmt: skip

    def error(self, figure: str) -> float | None:
        """Predicted / measured - 1; None where it was not measured."""
        return self.predicted[figure] / self.measured[figure] - 1 if figure in self.measured else None


@record
class GroupErrors:
    """Median sizes of the errors of a group, and medians with their sign, by figure."""

    group: str
    loads: int
    median_absolute_error: dict[str, float]
    bias: dict[str, float]


@record
class DroppedRuns:
    """How many rows of the tables are not scored for a reason, and how many loads have no other row."""

    reason: str
    rows: int
    loads: int


@record
class GroupCause:
    """A group of GPU, engine and precision whose median error of a figure is large, and where its errors are.

    Of TPOT it is the price of decode steps. Of TTFT that of prompts or of entry where few in flight, which hardly
    queue, are off as well, else the queue.
    """

    group: str
    figure: str
    median_absolute_error: float
    cause: str


@record
class LoadErrors(Versioned):
    """All loads, the errors of groups of them, the worst of these with their cause, and what was dropped."""

    groups: list[GroupErrors]
    worst: list[GroupCause]
    dropped: list[DroppedRuns]
    cases: list[LoadCase]


def load_errors(cases: Iterable[LoadCase], dropped: Sequence[UnscoredRun]) -> LoadErrors:
    """The record of scored loads, sorted, and of rows that were not."""
    ordered = sorted(cases, key=lambda one: (_key(one), one.concurrency))
    groups: dict[str, list[LoadCase]] = {}
    for one in ordered:
        groups.setdefault("all, separate pools" if one.decode else "all, one node", []).append(one)
        for group in (f"{one.framework} {one.precision}", f"{one.hardware} {one.framework} {one.precision}"):
            groups.setdefault(group, []).append(one)
        groups.setdefault(f"prompt {one.prompt}", []).append(one)
        groups.setdefault(_loads(one.concurrency), []).append(one)
    return LoadErrors(
        groups=[_group(name, groups[name]) for name in sorted(groups)],
        worst=list(_worst(ordered)),
        dropped=_dropped(dropped, {(*_key(one), one.concurrency) for one in ordered}),
        cases=ordered,
    )


def _key(one: LoadCase) -> tuple[str, str, str, bool, str, str, int, int]:
    worker = WorkerShape(one.workers, one.tp, one.ep, one.attention_dp)
    named = one.hardware, one.framework, one.precision
    return *named, bool(one.decode), one.decode, str(worker), one.prompt, one.output


def _loads(concurrency: int) -> str:
    """The group of a load, four times as wide as the one before it."""
    most = 4
    while most < concurrency:
        most *= 4
    return f"concurrency to {most:5}"


def _loaded(row: BenchmarkRow) -> tuple[object, ...]:
    named = row.hardware, row.framework, row.precision
    pools = row.decode is not None, str(row.decode or ""), str(row.worker)
    return *named, *pools, row.prompt, row.output, row.concurrency


def _group(name: str, cases: Sequence[LoadCase]) -> GroupErrors:
    errors = {figure: [e for one in cases if (e := one.error(figure)) is not None] for figure in FIGURES}
    return GroupErrors(
        group=name,
        loads=len(cases),
        median_absolute_error={figure: median(map(abs, found)) for figure, found in errors.items() if found},
        bias={figure: median(found) for figure, found in errors.items() if found},
    )


def _worst(cases: Iterable[LoadCase]) -> Iterator[GroupCause]:
    groups: dict[str, list[LoadCase]] = {}
    for one in cases:
        groups.setdefault(f"{one.hardware} {one.framework} {one.precision}", []).append(one)
    for figure, lower in LARGE.items():
        for name, members in groups.items():
            found = _group(name, [one for one in members if figure in one.measured])
            error = found.median_absolute_error.get(figure, 0.0)
            if error >= lower:
                yield GroupCause(
                    group=name, figure=figure, median_absolute_error=error, cause=_cause(members, figure, error)
                )


def _cause(cases: Sequence[LoadCase], figure: str, size: float) -> str:
    """Where errors of this median size are: at few in flight, half as large at least, or at many alone."""
    parts = [[one for one in cases if (one.concurrency <= FEW) == is_few] for is_few in (True, False)]
    few, many = ([error for one in part if (error := one.error(figure)) is not None] for part in parts)
    texts = [
        f"{median(errors):+.0%} with {where} in flight"
        for errors, where in ((few, f"up to {FEW}"), (many, "more"))
        if errors
    ]
    if figure == "median_tpot":
        what = "price of decode steps"
    elif few and median(map(abs, few)) >= size / 2:
        what = "price of steps with prompts, or entry"
    else:
        what = "queue, or steps with prompts that are full"
    return f"{what}: {', '.join(texts)}"


def _dropped(dropped: Sequence[UnscoredRun], scored: set[tuple[object, ...]]) -> list[DroppedRuns]:
    reasons: dict[str, list[tuple[object, ...]]] = {}
    for one in dropped:
        reasons.setdefault(one.reason, []).append(_loaded(one.run.row))
    return [
        DroppedRuns(reason=reason, rows=len(keys), loads=len(set(keys) - scored))
        for reason, keys in sorted(reasons.items())
    ]
