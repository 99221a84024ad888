"""`dagc validate`: measured cases beside what the cost model says of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dagc.cli import completing
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json

if TYPE_CHECKING:
    from dagc.diag.diagnostic import Diagnostic
    from dagc.results.ledger import LedgerEntry
    from dagc.source import Source

Report = Callable[[int, int], None]
"""Takes pieces of work done, and all of them."""

LOAD, SERVING, ORDER, COVERAGE = "load", "serving", "order", "coverage"
"""What is made of measured runs in files of the user: simulated requests, errors of TPOT, order of plans, intervals."""

RESULTS = "results"
"""Files that clients of benchmarks write, of one plan."""

OF_RUNS = (LOAD, SERVING, ORDER, COVERAGE)


@click.command()
@click.argument("kind", required=False, shell_complete=completing.kinds)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS...]", shell_complete=completing.files)
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own cases (CSV) in place of the published ones: --cases measured.csv.",
)
@click.option("--plan", metavar="FILE", shell_complete=completing.files,
              help="The plan that `results` ran: --plan plan.moe.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), help="Number of processes for RUNS; default: one per core.")
@click.option(
    "--without",
    default="",
    metavar="WORDS",
    help='`order` once more without the runs that have all these words: --without "glm-5 sglang 0.5.9 tp".',
)
@text_or_json
def validate(
    kind: str | None,
    runs: tuple[Path, ...],
    cases: Path | None,
    plan: str | None,
    workers: int | None,
    without: str,
    style: str,
) -> None:
    """Predict the measured cases, or those of one KIND, and print the errors.

    RUNS are tables of measured serving runs (CSV with the columns of InferenceX or of AIConfigurator): `serving`
    prints errors of TPOT, `order` whether plans are in the right order and what choosing by prediction costs,
    `coverage` how many runs lie inside of stated intervals; `load` simulates runs of InferenceX request by request.

    `validate results RUNS... --plan PLAN` reads what vllm bench serve, sglang.bench_serving, trtllm-bench and aiperf
    write.
    """
    if kind == RESULTS or plan is not None:
        if kind != RESULTS or not runs or plan is None:
            raise click.UsageError("name results and their plan: dagc validate results run.json --plan plan.moe")
        _validate_results(runs, plan, style)
    if kind in OF_RUNS and runs:
        _validate_runs(kind, runs, workers or os.cpu_count() or 1, without, style)
    if runs:
        raise click.BadParameter(f"files follow one of the kinds {', '.join((*OF_RUNS, RESULTS))}", param_hint="RUNS")
    from dagc.export.text.ledger import render_text
    from dagc.results.ledger import ledger_of

    entries, diagnostics = _own(cases) if cases else (_cited(kind), ())
    if kind is not None:
        entries = tuple(entry for entry in entries if entry.case.kind == kind)
    if style == "json":
        print_json(ledger_of(entries))
    elif entries:
        click.echo(render_text(entries), nl=False)
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _cited(kind: str | None) -> tuple[LedgerEntry, ...]:
    from dagc.catalog.cases import kinds

    if kind is not None and kind in OF_RUNS and kind not in kinds():
        raise click.BadParameter(f"name a table of serving runs: dagc validate {kind} runs.csv", param_hint="RUNS")
    if kind is not None and kind not in kinds():
        raise click.BadParameter(f"`{kind}` is not one of {', '.join(kinds())}", param_hint="KIND")
    from dagc.driver import validate as driver

    return driver.validate(kind)


def _own(path: Path) -> tuple[tuple[LedgerEntry, ...], tuple[Diagnostic, ...]]:
    from dagc.cli.inputs import read_text
    from dagc.diag.diagnostic import Diagnostic
    from dagc.driver import validate as driver
    from dagc.source import Source

    text = read_text(path)
    return ((), (text,)) if isinstance(text, Diagnostic) else driver.validate_own(Source(str(path), text))


def _validate_runs(kind: str, paths: tuple[Path, ...], workers: int, without: str, style: str) -> NoReturn:
    from dagc.cli.inputs import read_text
    from dagc.cli.progress import progress
    from dagc.diag.diagnostic import Diagnostic
    from dagc.source import Source

    texts = [(path, read_text(path)) for path in paths]
    sources = [Source(str(path), text) for path, text in texts if isinstance(text, str)]
    problems = [text for _, text in texts if isinstance(text, Diagnostic)]
    with progress() as say:
        begun = time.monotonic()

        def report(done: int, of: int) -> None:
            left = f", about {(time.monotonic() - begun) / done * (of - done):.0f} s left" if done else ""
            say(f"{done} of {of} {'deployments simulated' if kind == LOAD else 'plans priced'}{left}")

        answer = _ANSWERS[kind](sources, workers, without, report)
    problems.extend(answer.problems)
    if style == "json":
        print_json(answer.record)
    elif answer.text:
        click.echo(answer.text, nl=False)
    print_text(tuple(problems))
    raise SystemExit(exit_status(tuple(problems)))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is printed, as a record and as text, which is empty where no run was read."""

    record: object
    text: str
    problems: tuple[Diagnostic, ...]


def _load(sources: Sequence[Source], workers: int, _: str, report: Report) -> _Answer:
    from dagc.driver.load_table import read_loads
    from dagc.driver.validate_load import validate_load
    from dagc.export.text.load_validation import render_load

    tables = [read_loads(source) for source in sources]
    runs = [run for found, _ in tables for run in found]
    errors = validate_load(runs, workers, report)
    problems = tuple(problem for _, found in tables for problem in found)
    return _Answer(errors, render_load(errors) if runs else "", problems)


def _serving(sources: Sequence[Source], workers: int, _: str, report: Report) -> _Answer:
    from dagc.driver.validate_serving import validate_serving
    from dagc.export.text.serving_validation import render_serving
    from dagc.results.serving_validation import serving_errors

    found = validate_serving(sources, workers, report)
    errors = serving_errors(found.runs, found.unscored)
    return _Answer(errors, render_serving(errors) if found.runs else "", found.problems)


def _order(sources: Sequence[Source], workers: int, without: str, report: Report) -> _Answer:
    from dagc.driver.validate_serving import validate_serving
    from dagc.export.text.serving_validation import render_order
    from dagc.results.plan_order import plan_order

    found = validate_serving(sources, workers, report)
    order = plan_order(found.runs, without)
    return _Answer(order, render_order(order) if found.runs else "", found.problems)


def _coverage(sources: Sequence[Source], workers: int, _: str, report: Report) -> _Answer:
    from dagc.driver.intervals import validate_coverage
    from dagc.export.text.serving_validation import render_coverage

    found, runs, problems = validate_coverage(sources, workers, report)
    return _Answer(found, render_coverage(found) if runs else "", problems)


_ANSWERS = {LOAD: _load, SERVING: _serving, ORDER: _order, COVERAGE: _coverage}


def _validate_results(paths: tuple[Path, ...], plan: str, style: str) -> NoReturn:
    from dagc.cli.inputs import given_results, required_input
    from dagc.cli.progress import progress
    from dagc.driver import validate_results as driver
    from dagc.export.text.runs import render_runs

    given = required_input(plan, None, {})
    results, problems = given_results(paths)
    readable = driver.readable_plan(given.source, given.blocks, given.directory)
    if isinstance(readable, tuple):
        print_text((*problems, *readable))
        raise SystemExit(exit_status((*problems, *readable)))
    with progress() as say:
        found, unanswered = driver.validate_results(readable, results, say)
    if style == "json":
        print_json(found)
    elif found.runs:
        click.echo(render_runs(found), nl=False)
    print_text((*problems, *unanswered))
    raise SystemExit(exit_status((*problems, *unanswered)))
