"""`dagc validate`: measured cases beside what the cost model says of them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dagc.cli import completing
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json

if TYPE_CHECKING:
    from dagc.diag.diagnostic import Diagnostic
    from dagc.results.ledger import LedgerEntry
    from dagc.results.load_validation import MeasuredRun


LOAD, RESULTS = "load", "results"
"""The kinds whose measured runs are in files of the user."""


@click.command()
@click.argument("kind", required=False, shell_complete=completing.kinds)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS...]", shell_complete=completing.files)
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own cases (CSV) in place of the published ones: --cases measured.csv.",
)
@click.option(
    "--plan",
    metavar="FILE",
    shell_complete=completing.files,
    help="The plan that `results` ran: --plan plan.moe.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes of `load`; default: one per core.")
@text_or_json
def validate(
    kind: str | None, runs: tuple[Path, ...], cases: Path | None, plan: str | None, workers: int | None, style: str
) -> None:
    """Predict the measured cases, or those of one KIND, and print the errors.

    `validate load RUNS...` simulates measured serving runs (CSV with the columns of InferenceX) request by request.
    `validate results RUNS... --plan PLAN` reads what vllm bench serve, sglang.bench_serving, trtllm-bench and aiperf
    write.
    """
    if kind == RESULTS or plan is not None:
        if kind != RESULTS or not runs or plan is None:
            raise click.UsageError("name results and their plan: dagc validate results run.json --plan plan.moe")
        _validate_results(runs, plan, style)
    if kind == LOAD and runs:
        _validate_load(runs, workers or os.cpu_count() or 1, style)
    if runs:
        raise click.BadParameter(f"files follow the kinds `{LOAD}` and `{RESULTS}` alone", param_hint="RUNS")
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

    if kind == LOAD:
        raise click.BadParameter("name a table of serving runs: dagc validate load runs.csv", param_hint="RUNS")
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


def _validate_load(paths: tuple[Path, ...], workers: int, style: str) -> NoReturn:
    from dagc.cli.inputs import read_text
    from dagc.cli.progress import progress
    from dagc.diag.diagnostic import Diagnostic
    from dagc.driver.load_table import read_loads
    from dagc.driver.validate_load import validate_load
    from dagc.export.text.load_validation import render_load
    from dagc.source import Source

    texts = [(path, read_text(path)) for path in paths]
    problems = [text for _, text in texts if isinstance(text, Diagnostic)]
    runs: list[MeasuredRun] = []
    for path, text in texts:
        if isinstance(text, str):
            read, wrong = read_loads(Source(str(path), text))
            runs.extend(read)
            problems.extend(wrong)
    with progress() as say:
        begun = time.monotonic()

        def report(done: int, of: int) -> None:
            left = f", about {(time.monotonic() - begun) / done * (of - done):.0f} s left" if done else ""
            say(f"{done} of {of} deployments simulated{left}")

        errors = validate_load(runs, workers, report)
    if style == "json":
        print_json(errors)
    elif runs:
        click.echo(render_load(errors), nl=False)
    print_text(tuple(problems))
    raise SystemExit(exit_status(tuple(problems)))


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
